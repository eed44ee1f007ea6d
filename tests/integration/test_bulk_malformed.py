"""Malformed uploads over HTTP: each gets a 4xx with the position, and leaves Redis and the object store unchanged.

`make malformed` sends all of them, `make test` every eighth.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.malformed.case import Case
from tests.malformed.table import CASES
from tests.served_models import save_model
from tests.stack import Gateway, Stack, running_stack, wait_for
from tests.uploads import objects_of, records_of, upload

_EVERY = 8

Site = tuple[Stack, Gateway]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = CASES if metafunc.config.getoption("--all-malformed") else CASES[::_EVERY]
    metafunc.parametrize("case", cases, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def site_of(tmp_path_factory: pytest.TempPathFactory, trained_dir: Path) -> Iterator[Callable[[str], Site]]:
    """Start a stack for each model, once."""
    with ExitStack() as stacks:

        @cache
        def start(model: str) -> Site:
            model_dir = save_model(trained_dir, model)
            stack, gateway = stacks.enter_context(running_stack(tmp_path_factory.mktemp(model), model_dir))
            upload(gateway, "")  # the first reservation creates the counter of bytes
            return stack, gateway

        yield start


def test_malformed_upload_is_refused_and_leaves_nothing(case: Case, site_of: Callable[[str], Site]) -> None:
    stack, gateway = site_of(case.model)
    before = objects_of(stack), records_of(stack)
    query = f"?{case.query}" if case.query else ""
    headers = {"Content_Encoding": case.content_coding} if case.content_coding else {}
    response = upload(gateway, case.body, case.media_type, query, **headers)
    problem = response.json()
    said = " ".join([problem["detail"], *(f"{each['pointer']} {each['detail']}" for each in problem.get("errors", ()))])
    assert (400 <= response.status_code < 500, problem["code"]) == (True, case.code), said
    assert [word for word in case.words if word not in said] == [], said
    wait_for(lambda: (objects_of(stack), records_of(stack)) == before, "nothing left")
    wait_for(gateway.is_ready, "a ready gateway")
