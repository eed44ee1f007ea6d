"""The table of raw-socket cases, and the state of the gateways afterwards. All cases run once, several concurrently."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.attack.attack import attack_site
from tests.attack.cases import CASES, GROUPS
from tests.attack.runner import Outcome
from tests.attack.site import running_site
from tests.patience import patience


class Attacked(NamedTuple):
    """The outcomes of an attack."""

    outcomes: dict[str, Outcome]
    faults: list[str]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, iris_dir: Path) -> Iterator[Attacked]:
    with running_site(tmp_path_factory.mktemp("attack"), iris_dir) as site:
        outcomes, faults = attack_site(site, CASES, patience())
        yield Attacked({outcome.case.name: outcome for outcome in outcomes}, faults)


@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_as_the_standards_say(attacked: Attacked, group: str) -> None:
    outcomes = [attacked.outcomes[case.name] for case in GROUPS[group]]
    assert {outcome.case.name: outcome.faults for outcome in outcomes if outcome.faults} == {}


def test_logs_memory_connections_and_store_are_as_before(attacked: Attacked) -> None:
    assert attacked.faults == []
