"""The gateway's small parts: the error table, the pulse's arithmetic, the settings' bounds."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from pydantic import ValidationError

from api.problems import INTERNAL_ERROR, NOT_READY, STATUS
from api.pulse import Pulse
from api.settings import GatewaySettings
from shared import errors
from shared.names import FailureCode, Queue
from shared.store import pipelined, pooled
from shared.store.status import Overview


def all_errors(root: type[errors.SepalError]) -> Iterator[type[errors.SepalError]]:
    for error in root.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_code_that_can_reach_a_client_has_a_status() -> None:
    of_workers_alone = set(all_errors(errors.ArtifactError))
    codes = {error.code for error in set(all_errors(errors.SepalError)) - of_workers_alone if hasattr(error, "code")}
    assert codes | set(FailureCode) | {NOT_READY, INTERNAL_ERROR} == set(STATUS)


def test_error_file_draws_its_whole_tree() -> None:
    assert errors.__doc__ is not None
    for error in all_errors(errors.SepalError):
        assert f" {error.__name__}" in errors.__doc__


def overview(
    *, gateways: int = 1, pool_processes: int = 1, accepted: int = 0, final: int = 0, bulk: int = 0
) -> Overview:
    """What a look might show: rows of the interactive queue, and a backlog of the bulk queue."""
    return Overview(
        card=None,
        gateways=gateways,
        workers=1,
        pool_processes=pool_processes,
        accepted_rows={Queue.INTERACTIVE: accepted, Queue.BULK: bulk},
        final_rows={Queue.INTERACTIVE: final, Queue.BULK: 0},
        oldest_seconds=dict.fromkeys(Queue, 0.0),
        dead_letters=0,
        memory_bytes=0,
        memory_limit_bytes=0,
    )


@pytest.fixture
def retry_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[int]]:
    """What a pulse says after looks at (accepted, final) rows, a second apart."""

    async def after(*looks: tuple[int, int]) -> int:
        overviews = iter(looks)

        async def look() -> Overview:
            accepted, final = next(overviews)
            return overview(accepted=accepted, final=final)

        pulse = Pulse(look, lambda: True, 60)
        for second in range(len(looks)):
            monkeypatch.setattr("api.pulse.time.monotonic", lambda second=second: float(second))
            await pulse.look()
        return pulse.retry_after()

    return after


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        pytest.param([(5100, 0), (5100, 1000)], 5, id="4,100 rows wait and 1,000 leave a second"),
        pytest.param([(100, 0), (100, 100)], 1, id="nothing waits"),
        pytest.param([(100, 100)], 1, id="nothing has been measured"),
        pytest.param([(10**9, 0), (10**9, 1)], 60, id="hours of work wait"),
        pytest.param(
            [(500, 0), (500, 100), (500, 500), (500, 500), (501, 501), (1001, 501)], 5, id="little work is not slow"
        ),
    ],
)
async def test_retry_after_is_the_backlog_over_the_drain_rate(
    retry_after: Callable[..., Awaitable[int]], looks: list[tuple[int, int]], seconds: int
) -> None:
    assert await retry_after(*looks) == seconds


@pytest.mark.parametrize(
    ("pool_processes", "gateways", "allowed"),
    [(0, 1, 1), (1, 1, 1), (1, 4, 1), (4, 1, 4), (4, 3, 2), (8, 2, 4), (2, 0, 2)],
)
async def test_allowance_is_this_gateways_share_of_the_pool_processes(
    pool_processes: int, gateways: int, allowed: int
) -> None:
    async def look() -> Overview:
        return overview(gateways=gateways, pool_processes=pool_processes)

    pulse = Pulse(look, lambda: True, 60)
    assert pulse.allowance() == 1
    await pulse.look()
    assert pulse.allowance() == allowed


async def test_interactive_rows_wait_for_interactive_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([overview(accepted=300, bulk=1000), overview(accepted=300, final=100, bulk=1000)])

    async def look() -> Overview:
        return next(looks)

    pulse = Pulse(look, lambda: True, 60)
    assert pulse.predicted_wait(Queue.BULK) == 0
    for second in range(2):
        monkeypatch.setattr("api.pulse.time.monotonic", lambda second=second: float(second))
        await pulse.look()
    assert pulse.predicted_wait(Queue.INTERACTIVE) == pulse.retry_after(Queue.INTERACTIVE) == 2
    assert pulse.predicted_wait(Queue.BULK) == pulse.retry_after() == 12


async def test_drain_that_has_dried_up_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = chain([overview(accepted=300)], repeat(overview(accepted=300, final=100)))

    async def look() -> Overview:
        return next(looks)

    pulse = Pulse(look, lambda: True, 60)
    for second in range(3000):
        monkeypatch.setattr("api.pulse.time.monotonic", lambda second=second: float(second))
        await pulse.look()
    assert pulse.predicted_wait(Queue.INTERACTIVE) > 1000
    assert pulse.retry_after() == 60


@pytest.mark.parametrize(
    ("looks", "is_stalled"),
    [
        pytest.param([overview(accepted=9)] * 3, True, id="rows wait and none leaves"),
        pytest.param([overview(accepted=9, final=number) for number in range(3)], False, id="some leave"),
        pytest.param([overview()] * 3, False, id="nothing waits"),
        pytest.param([overview(accepted=9, pool_processes=0)] * 3, False, id="nobody claims to live"),
        pytest.param([*[overview()] * 2, overview(accepted=9)], False, id="they came just now"),
    ],
)
async def test_backlog_that_stands_still_is_a_reason_not_to_be_ready(
    monkeypatch: pytest.MonkeyPatch, looks: list[Overview], is_stalled: bool
) -> None:
    remaining = iter(looks)

    async def look() -> Overview:
        return next(remaining)

    pulse = Pulse(look, lambda: True, stalled_after_seconds=50)
    for number in range(3):
        monkeypatch.setattr("api.pulse.time.monotonic", lambda number=number: number * 30.0)
        await pulse.look()
    assert (errors.Stalled in map(type, pulse.unready_reasons())) is is_stalled


@pytest.mark.parametrize("name", ["max_rows", "api_port", "result_ttl_seconds"])
def test_settings_out_of_bounds_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({name: -1})


@pytest.mark.parametrize("transport", [pipelined, pooled])
def test_request_that_finds_the_broker_frozen_is_refused_within_two_seconds(transport: Any) -> None:
    assert transport.PATIENCE_SECONDS * transport._OPERATION_PATIENCES < 2
