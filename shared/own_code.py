"""A model's own code: the modules and packages that its pipeline needs and no distribution provides."""

import importlib
import keyword
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any, Final, Never

from shared.errors import ArtifactAltered
from shared.model_files import CODE_DIR

SEPAL_MODULES: Final = frozenset(
    {"api", "benchmarks", "deploy", "docs", "local", "locustfile", "sepal_client", "shared", "tests", "tools"}
    | {"training", "worker"}
)
"""Top-level modules of Sepal."""
WORKER_DISTRIBUTIONS: Final = frozenset(
    {"celery", "hiredis", "joblib", "msgspec", "numpy", "obstore"}
    | {"opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"}
    | {"pandas", "polars", "prometheus-client", "pyarrow", "pydantic", "pydantic-settings", "redis", "scikit-learn"}
    | {"skops", "structlog", "threadpoolctl"}
)
"""The distributions that a worker imports; it also needs their requirements."""
_EXTRA_MARKER: Final = re.compile(r"\bextra\s*==")


def top_level_names(files: Iterable[str]) -> set[str]:
    """Return the names of the top-level modules and packages in the own code of a model directory."""
    names = {name.split("/")[1] for name in files if name.startswith(f"{CODE_DIR}/")}
    return {name.partition(".")[0] for name in names}


def find_name_conflict(names: Iterable[str]) -> str | None:
    """Return why a model cannot have own code with these names; None if it can.

    A module with the name of another module would replace it in a pool process, or would never be imported.
    """
    needed = None
    for name in sorted(names):
        if not name.isidentifier() or keyword.iskeyword(name):
            return f'"{name}" is not a name that Python can import'
        if name in SEPAL_MODULES:
            return f'"{name}" is the name of a part of Sepal'
        if name in sys.stdlib_module_names:
            return f'"{name}" is the name of a module of Python'
        needed = _find_worker_modules() if needed is None else needed
        if name in needed:
            return f'"{name}" is the name of a module of {needed[name]}, which Sepal needs'
    return None


def make_importable(model_dir: Path, files: Mapping[str, str]) -> None:
    """Put a model's own code first on the import path of this process.

    Each module is checked against its digest when it is imported. Bytecode is neither read, because it may belong to
    another version of the code, nor written, because the folder may be read-only.

    Args:
        model_dir: the model directory.
        files: the digests of the files of the model directory; none of them may be imported yet.
    """
    if not top_level_names(files):
        return
    root = model_dir.absolute()
    folder = str(root / CODE_DIR)
    source: Any = partial(_CheckedLoader, root=root, files=files)

    def make_finder(path: str) -> FileFinder:
        if path != folder and not path.startswith(folder + os.sep):
            raise ImportError  # makes Python try the next hook
        return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (source, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, make_finder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()


class _CheckedLoader(SourceFileLoader):
    """Imports a module from its source file, after it has checked the digest."""

    def __init__(self, name: str, path: str, root: Path, files: Mapping[str, str]) -> None:
        super().__init__(name, path)
        self._root = root
        self._files = files

    def path_stats(self, path: str) -> Never:
        """Raise OSError, so that Python neither reads nor writes bytecode."""
        raise OSError(f"the bytecode of {path} is not used")

    def get_data(self, path: str) -> bytes:
        """Read a file and check its digest."""
        content = super().get_data(path)
        name = Path(path).relative_to(self._root).as_posix()
        if self._files.get(name) != f"sha256:{sha256(content).hexdigest()}":
            raise ArtifactAltered(f"{path} was altered after it was checked")
        return content


def _find_worker_modules() -> dict[str, str]:
    """Return the top-level modules of all distributions that a worker needs, with their distributions."""
    needed, waiting = set[str](), set(WORKER_DISTRIBUTIONS)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        try:
            requirements = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting |= {_distribution_name(each) for each in requirements if not _EXTRA_MARKER.search(each)} - needed
    return {
        module: providers[0]
        for module, providers in packages_distributions().items()
        if any(_distribution_name(provider) in needed for provider in providers)
    }


def _distribution_name(requirement: str) -> str:
    """Return the normalized name of the distribution in a requirement (PEP 503)."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
