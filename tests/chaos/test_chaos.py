"""The chaos run, cut short: every fault is injected, and no promise is broken. Nothing here asserts a time."""

from collections.abc import Iterator

import pytest

from tests.chaos import clock
from tests.chaos.faults import FAULTS
from tests.chaos.judge import pipelines_own
from tests.chaos.run import play
from tests.chaos.site import Site, running_site
from tests.patience import patience
from tests.tools import missing

RATE = 40
# These do one thing and another in turns; for the others, once must do here.
TWICE = {"worker", "gateway"}

PLAIN = [name for name, fault in FAULTS.items() if not fault.has_clocks and not fault.has_limits]
LIMITED = [name for name, fault in FAULTS.items() if fault.has_limits]
CLOCKS = [name for name, fault in FAULTS.items() if fault.has_clocks]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def site_with_limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("limits"), has_limits=True) as running:
        yield running


@pytest.fixture(scope="module")
def site_with_clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if clock.library() is None:
        missing("libfaketime (Debian's package faketime)")
    with running_site(tmp_path_factory.mktemp("clocks"), has_clocks=True) as running:
        yield running


@pytest.mark.parametrize("name", PLAIN)
def test_everything_accepted_ends_once_and_rightly(site: Site, name: str) -> None:
    _play(site, name)


@pytest.mark.parametrize("name", LIMITED)
def test_troublesome_rows_take_nobody_with_them(site_with_limits: Site, name: str) -> None:
    _play(site_with_limits, name)


@pytest.mark.parametrize("name", CLOCKS)
def test_everything_accepted_ends_once_and_rightly_while_a_clock_jumps(site_with_clocks: Site, name: str) -> None:
    _play(site_with_clocks, name)


def _play(site: Site, name: str) -> None:
    fault = FAULTS[name]
    injections = 2 if name in TWICE else 1
    own = pipelines_own(site.model_dir)
    row = play(site, fault, own, injections=injections, rate=RATE, patience=patience())
    verdict = row.verdict
    assert verdict.accepted > 0
    assert verdict.lost == 0 or fault.may_lose, verdict.examples
    assert (verdict.changed, verdict.wrong, verdict.unchecked) == (0, 0, 0), verdict.examples
    assert row.committed_twice == 0
