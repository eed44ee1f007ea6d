"""The short form of the faults between clients and gateways, and clients with bugs that it must detect."""

import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from tests.chaos.clients.careless import Bug, careless
from tests.chaos.clients.faults import CLIENT_FAULTS
from tests.chaos.clients.run import run_client_fault
from tests.chaos.clients.site import ClientSite, running_client_site

SEED = 1
# The key of an upload whose gateway was killed is in use for ten seconds: this injection strikes the response.
FIRST = {"client-kill-upload": 6}
N_INJECTIONS = {"client-kill-upload": 1}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientSite]:
    with running_client_site(tmp_path_factory.mktemp("clients")) as site:
        yield site


@pytest.mark.parametrize("name", CLIENT_FAULTS)
def test_every_operation_ends_with_one_right_result_or_an_error(site: ClientSite, name: str) -> None:
    first, injections = FIRST.get(name, 0), N_INJECTIONS.get(name, 2)
    verdict = run_client_fault(site, CLIENT_FAULTS[name], seed=SEED, first=first, injections=injections).verdict
    assert verdict.struck > 0
    assert verdict.right > 0
    assert verdict.missed() == [], verdict.examples


@pytest.mark.parametrize(
    ("bug", "name", "first", "found"),
    [
        (Bug.NONE, "client-refuse-submission", 4, set()),
        (Bug.NEW_KEYS, "client-refuse-submission", 4, {"twice"}),
        (Bug.MIXES_ROWS, "client-refuse-submission", 4, {"wrong"}),
        (Bug.IMPATIENT, "client-refuse-submission", 28, {"early"}),
        (Bug.GIVES_UP, "client-cut-submission", 0, {"gave up"}),
        (Bug.RAW_ERRORS, "client-cut-submission", 0, {"undocumented"}),
        (Bug.TRUSTS_FILES, "client-cut-download", 7, {"wrong"}),
        (Bug.HALF_FILES, "client-cut-download", 7, {"left", "gave up"}),
    ],
)
def test_bug_of_a_client_is_found(site: ClientSite, bug: Bug, name: str, first: int, found: set[str]) -> None:
    result = run_client_fault(site, CLIENT_FAULTS[name], seed=SEED, first=first, injections=1, connect=careless(bug))
    assert {missed.partition(":")[0] for missed in result.verdict.missed()} == found


def test_library_with_a_new_idempotency_key_on_each_attempt_is_found(site: ClientSite) -> None:
    send = httpx.Client.send

    def with_new_key(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        if "Idempotency-Key" in request.headers:
            request.headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
        return send(client, request, **options)

    with patch.object(httpx.Client, "send", with_new_key):
        result = run_client_fault(site, CLIENT_FAULTS["client-refuse-submission"], seed=SEED, first=4, injections=1)
    assert result.verdict.twice > 0
