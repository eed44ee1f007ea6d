"""Copies a pipeline's own code into its model directory."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

from shared.errors import CannotServe
from shared.model_files import CODE_DIR, compute_file_digests
from shared.own_code import find_name_conflict, make_importable


def copy_code(paths: Sequence[Path | str], model_dir: Path) -> None:
    """Copy modules and packages, with their data files and without bytecode, into the code of a model directory.

    Raises:
        CannotServe: one is neither a module nor a package, or has the name of another module.
    """
    names: set[str] = set()
    for path in map(Path, paths):
        name = path.resolve().name
        module = _module(path, name)
        if module in names:
            raise CannotServe(f"the code has two modules called {module}", "Rename one, and fit the pipeline again.")
        names.add(module)
        target = model_dir / CODE_DIR / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            _copy_package(path, target)
        else:
            shutil.copyfile(path, target)


@contextmanager
def importable_code(paths: Sequence[Path | str]) -> Iterator[None]:
    """Import own code as a worker does, from a copy that exists within the context; for processes that end soon.

    Raises:
        CannotServe: as `copy_code`.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy_code(paths, Path(folder))
        make_importable(Path(folder), compute_file_digests(Path(folder)))
        yield


def _module(path: Path, name: str) -> str:
    """Return the name by which a module or package is imported."""
    is_module = path.is_file() and name.endswith((*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES))
    if not is_module and not (path.is_dir() and any(path.rglob("*.py"))):
        raise CannotServe(
            f"{path} is neither a Python module nor a package",
            "Give code as .py files and folders of packages; a data file belongs into the package that reads it.",
        )
    module = name.partition(".")[0] if is_module else name
    if conflict := find_name_conflict({module}):
        raise CannotServe(f"the code {path} cannot be served: {conflict}", "Rename it, and fit the pipeline again.")
    return module


def _copy_package(path: Path, target: Path) -> None:
    try:
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    except (shutil.Error, OSError) as error:
        raise CannotServe(f"the code {path} cannot be copied ({error})", "Make all of its files readable.") from error
