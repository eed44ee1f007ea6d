"""Compares the distributions that an artifact needs with those that are installed."""

import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from shared.card import PYTHON, ModelCard

_COMPATIBLE_WITHIN_MAJOR: Final = frozenset({"joblib", "numpy", "pandas", "polars", "pyarrow", "scipy"})
"""Distributions of which other minor versions read the pickles; of all others the minor version must be the same."""

_DISTRIBUTIONS_BY_MODULE: Final = {
    "bs4": "beautifulsoup4",
    "catboost": "catboost",
    "category_encoders": "category-encoders",
    "cloudpickle": "cloudpickle",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dill": "dill",
    "feature_engine": "feature-engine",
    "gensim": "gensim",
    "hdbscan": "hdbscan",
    "holidays": "holidays",
    "imblearn": "imbalanced-learn",
    "lightgbm": "lightgbm",
    "mlxtend": "mlxtend",
    "ngboost": "ngboost",
    "nltk": "nltk",
    "numba": "numba",
    "numpy": "numpy",
    "pandas": "pandas",
    "PIL": "pillow",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "sklego": "scikit-lego",
    "skopt": "scikit-optimize",
    "skorch": "skorch",
    "skrub": "skrub",
    "sksurv": "scikit-survival",
    "spacy": "spacy",
    "statsmodels": "statsmodels",
    "torch": "torch",
    "umap": "umap-learn",
    "xgboost": "xgboost",
    "yaml": "pyyaml",
}
"""Which distributions provide the modules that pipelines often need. For any other module, no name is suggested: who
registers the name of a team's own module in a package index could otherwise run code where it is installed."""


class DifferingDistribution(NamedTuple):
    """A distribution that is not installed as an artifact needs it."""

    name: str
    made_with: str
    installed: str
    """The version, or `none`."""


def find_differing(card: ModelCard) -> list[DifferingDistribution]:
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
            found.append(DifferingDistribution(name, made_with, installed))
    return found


def installed_versions(card: ModelCard) -> dict[str, str]:
    """Return the versions of Python and of the distributions that a card names, as installed here."""
    found = {PYTHON: platform.python_version()}
    for name in card.versions:
        with suppress(PackageNotFoundError):
            found.setdefault(name, version(name))
    return found


def pip_requirements(differing: Sequence[DifferingDistribution]) -> str:
    """Return what `pip install` takes to install the versions that the artifact needs."""
    return " ".join(f"{each.name}=={each.made_with}" for each in differing)


def describe_missing_module(what: str, module: str | None, *, is_here: bool = False) -> tuple[str, str]:
    """Return the problem and the remedy where `what` needs a module that is not installed.

    Args:
        what: needs the module.
        module: its full name.
        is_here: whether it must be installed into the environment of this process, whose path is then shown.
    """
    top = (module or "?").partition(".")[0]
    distribution = _DISTRIBUTIONS_BY_MODULE.get(top)
    install = f"install {distribution or 'the distribution that provides it'}"
    if distribution is not None and is_here:
        install = f"install it: {pip_install_command(distribution)}"
    return (
        f"{what} needs the module {module}, which is not installed",
        f"If {top} is your own, give it to `save` with code=[…], or --code on the command line; otherwise {install}.",
    )


def pip_install_command(*requirements: str) -> str:
    """Return the command that installs distributions into this environment."""
    python = Path(sys.executable)
    with suppress(ValueError):
        python = python.relative_to(Path.cwd())
    return f"{python} -m pip install {' '.join(requirements)}"
