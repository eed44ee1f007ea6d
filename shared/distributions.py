"""Compares the distributions that an artifact needs with those that are installed."""

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from shared.card import PYTHON, ModelCard

_COMPATIBLE_WITHIN_MAJOR: Final = frozenset({"joblib", "numpy", "pandas", "polars", "pyarrow", "scipy"})
"""Distributions of which other minor versions read the pickles; of all others the minor version must be the same."""

_DISTRIBUTION_OF: Final = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "imblearn": "imbalanced-learn",
    "PIL": "pillow",
    "skopt": "scikit-optimize",
    "sksurv": "scikit-survival",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Distributions whose modules have another name."""


class Differing(NamedTuple):
    """A distribution that is not installed as an artifact needs it."""

    name: str
    made_with: str
    installed: str
    """The version, or `none`."""


def find_differing(card: ModelCard) -> list[Differing]:
    """Return the distributions that an artifact needs and that are missing here, or have an incompatible version."""
    found = []
    for name, made_with in card.versions.items():
        if name == PYTHON:
            continue
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        n_parts = 1 if name in _COMPATIBLE_WITHIN_MAJOR else 2
        if made_with.split(".")[:n_parts] != installed.split(".")[:n_parts]:
            found.append(Differing(name, made_with, installed))
    return found


def installed_versions(card: ModelCard) -> dict[str, str]:
    """Return the versions of Python and of the distributions that a card names, as installed here."""
    found = {PYTHON: platform.python_version()}
    for name in card.versions:
        with suppress(PackageNotFoundError):
            found.setdefault(name, version(name))
    return found


def pins(differing: Sequence[Differing]) -> str:
    """Return what `pip install` takes to install the versions that the artifact needs."""
    return " ".join(f"{each.name}=={each.made_with}" for each in differing)


def missing_module(what: str, module: str | None) -> tuple[str, str]:
    """Return the problem and the remedy where `what` needs a module that is not installed."""
    top = (module or "?").partition(".")[0]
    return (
        f"{what} needs the module {module}, which is not installed",
        f"If {top} is your own, give it to `save` with code=[…], or --code on the command line; "
        f"otherwise install what provides it: pip install {_DISTRIBUTION_OF.get(top, top)}.",
    )
