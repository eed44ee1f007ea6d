"""Compares the distributions that an artifact needs with those that are installed."""

import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from shared.card import PYTHON_VERSION_KEY, ModelCard

_COMPATIBLE_WITHIN_MAJOR: Final = frozenset({"joblib", "numpy", "pandas", "polars", "pyarrow", "scipy"})
"""Distributions whose pickles other minor versions can read; for all others, the minor version must be equal."""

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
"""The distributions of modules that pipelines often need. No distribution is suggested for any other module: if it is a
team's own, someone else could register its name in a package index, and so run code where it is installed."""


class DifferingDistribution(NamedTuple):
    """A distribution that is missing, or installed in a version incompatible with an artifact."""

    name: str
    made_with: str
    installed: str
    """The version, or `none`."""


def find_differing_distributions(card: ModelCard) -> list[DifferingDistribution]:
    """Return the distributions of a card that are missing here, or installed in an incompatible version."""
    found = []
    for name, made_with in card.versions.items():
        if name == PYTHON_VERSION_KEY:
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
    """Return the installed versions of Python and of the distributions that a card names."""
    found = {PYTHON_VERSION_KEY: platform.python_version()}
    for name in card.versions:
        with suppress(PackageNotFoundError):
            found.setdefault(name, version(name))
    return found


def format_pip_requirements(distributions: Sequence[DifferingDistribution]) -> str:
    """Return the arguments of `pip install` for the versions that the artifact needs."""
    return " ".join(f"{each.name}=={each.made_with}" for each in distributions)


def describe_missing_module(importer: str, module_name: str | None, *, is_here: bool = False) -> tuple[str, str]:
    """Return the problem and the remedy if `importer` needs a module that is not installed.

    Args:
        importer: what imports the module, as the subject of the problem.
        module_name: the full name of the module.
        is_here: whether this process needs the module; the remedy then shows the command for its environment.
    """
    top = (module_name or "?").partition(".")[0]
    distribution = _DISTRIBUTIONS_BY_MODULE.get(top)
    install = f"install {distribution or 'the distribution that provides it'}"
    if distribution is not None and is_here:
        install = f"install it: {pip_install_command(distribution)}"
    return (
        f"{importer} needs the module {module_name}, which is not installed",
        f"If {top} is your own, give it to `save` with code=[…], or --code on the command line; otherwise {install}.",
    )


def pip_install_command(*requirements: str) -> str:
    """Return the command that installs distributions into the environment of this process."""
    python = Path(sys.executable)
    with suppress(ValueError):
        python = python.relative_to(Path.cwd())
    return f"{python} -m pip install {' '.join(requirements)}"
