"""Which distributions of an artifact count as missing or different."""

from importlib.metadata import version

import pytest

from shared.distributions import Differing, find_differing, pins
from tests.unit.api.http.cards import matrix

SKLEARN = version("scikit-learn").split(".")
NUMPY = version("numpy").split(".")


@pytest.mark.parametrize(
    ("name", "made_with", "differs"),
    [
        ("scikit-learn", f"{SKLEARN[0]}.{SKLEARN[1]}.99", False),
        ("scikit-learn", f"{SKLEARN[0]}.99.0", True),
        ("numpy", f"{NUMPY[0]}.99.0", False),
        ("numpy", "1.26.4", True),
        ("no-such-distribution", "4.6.0", True),
        ("python", "3.4.0", False),
    ],
)
def test_distributions_differ(name: str, made_with: str, differs: bool) -> None:
    found = find_differing(matrix().model_copy(update={"versions": {name: made_with}}))
    assert [(each.name, each.made_with) for each in found] == ([(name, made_with)] if differs else [])


def test_a_missing_distribution_has_no_version() -> None:
    (found,) = find_differing(matrix().model_copy(update={"versions": {"no-such-distribution": "4.6.0"}}))
    assert found.installed == "none"


def test_pins_are_what_pip_takes() -> None:
    assert pins([Differing("a", "1.0", "none"), Differing("b", "2.1", "2.0")]) == "a==1.0 b==2.1"
