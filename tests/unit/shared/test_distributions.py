"""Which distributions of an artifact count as missing or different."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from shared.distributions import (
    DifferingDistribution,
    describe_missing_module,
    find_differing_distributions,
    format_pip_requirements,
    pip_install_command,
)
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
    found = find_differing_distributions(matrix().model_copy(update={"versions": {name: made_with}}))
    assert [(each.name, each.made_with) for each in found] == ([(name, made_with)] if differs else [])


def test_a_missing_distribution_has_no_version() -> None:
    (found,) = find_differing_distributions(matrix().model_copy(update={"versions": {"no-such-distribution": "4.6.0"}}))
    assert found.installed == "none"


def test_pins_are_what_pip_takes() -> None:
    assert (
        format_pip_requirements([DifferingDistribution("a", "1.0", "none"), DifferingDistribution("b", "2.1", "2.0")])
        == "a==1.0 b==2.1"
    )


def test_no_distribution_is_suggested_for_a_module_that_may_be_the_team_s_own() -> None:
    _, remedy = describe_missing_module("the pipeline", "features.scaling")
    assert remedy.endswith("otherwise install the distribution that provides it.")
    _, remedy = describe_missing_module("the pipeline", "skimage.filters")
    assert remedy.endswith("otherwise install scikit-image.")


def test_the_command_that_installs_names_this_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert pip_install_command("a==1", "b").startswith(f"{tmp_path}/.venv/bin/python -m pip ")
    monkeypatch.chdir(tmp_path)
    assert pip_install_command("a==1", "b") == ".venv/bin/python -m pip install a==1 b"
    _, remedy = describe_missing_module("model.pkl", "imblearn.pipeline", is_here=True)
    assert remedy.endswith("otherwise install it: .venv/bin/python -m pip install imbalanced-learn.")
