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
    """Copy modules and packages, with their data files and without bytecode, into `code/` of a model directory.

    Raises:
        CannotServe: a path is neither a module nor a package, or its name conflicts with another module.
    """
    names: set[str] = set()
    for path in map(Path, paths):
        name = path.resolve().name
        module = _checked_module_name(path, name)
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
def make_code_importable(paths: Sequence[Path | str]) -> Iterator[None]:
    """Make own code importable, as in a worker, from a copy that is deleted when the context ends.

    The import path of the process stays changed, so this is for short-lived processes.

    Raises:
        CannotServe: as for `copy_code`.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy_code(paths, Path(folder))
        make_importable(Path(folder), compute_file_digests(Path(folder)))
        yield


def _checked_module_name(path: Path, name: str) -> str:
    """Check that a path is a module or package, and return the name by which it is imported."""
    is_module = path.is_file() and name.endswith((*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES))
    if not is_module and not (path.is_dir() and any(path.rglob("*.py"))):
        raise CannotServe(
            f"{path} is neither a Python module nor a package",
            "Give code as .py files and folders of packages; put a data file into the package that reads it.",
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
