"""The short form of the chaos run: every fault is injected, and no promise is broken. No test asserts a time."""

from collections.abc import Iterator

import pytest

from tests.chaos import clock
from tests.chaos.faults import FAULTS
from tests.chaos.judge import load_reference
from tests.chaos.run import run_fault
from tests.chaos.site import Site, running_site
from tests.patience import patience
from tests.tools import skip_without

RATE = 20
# These faults alternate between two variants; the others are injected once.
TWICE = {"worker", "gateway"}

OTHERS = [name for name, fault in FAULTS.items() if not fault.has_clocks and not fault.has_short_limits]
ROWS = [name for name, fault in FAULTS.items() if fault.has_short_limits]
CLOCKS = [name for name, fault in FAULTS.items() if fault.has_clocks]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def site_with_limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("limits"), has_short_limits=True) as running:
        yield running


@pytest.fixture(scope="module")
def site_with_clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if clock.library() is None:
        skip_without("libfaketime (Debian's package faketime)")
    with running_site(tmp_path_factory.mktemp("clocks"), has_clocks=True) as running:
        yield running


@pytest.mark.parametrize("name", OTHERS)
def test_accepted_predictions_become_final_once_with_the_right_answer(site: Site, name: str) -> None:
    _check(site, name)


@pytest.mark.parametrize("name", ROWS)
def test_troublesome_rows_do_not_fail_other_predictions(site_with_limits: Site, name: str) -> None:
    _check(site_with_limits, name)


@pytest.mark.parametrize("name", CLOCKS)
def test_accepted_predictions_become_final_once_while_a_clock_jumps(site_with_clocks: Site, name: str) -> None:
    _check(site_with_clocks, name)


def _check(site: Site, name: str) -> None:
    fault = FAULTS[name]
    injections = 2 if name in TWICE else 1
    reference = load_reference(site.model_dir)
    result = run_fault(site, fault, reference, injections=injections, rate=RATE, patience=patience())
    verdict = result.verdict
    assert verdict.accepted > 0
    assert verdict.lost == 0 or fault.may_lose, verdict.examples
    assert (verdict.changed, verdict.wrong, verdict.unchecked) == (0, 0, 0), verdict.examples
    assert result.committed_twice == 0
