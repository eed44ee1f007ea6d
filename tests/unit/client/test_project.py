"""The client's project file and the lock files agree with each other."""

import ast
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.stack import ROOT

LOCKS = sorted(
    [*(ROOT / "requirements").glob("*.txt"), *ROOT.glob("*/requirements.txt"), *ROOT.glob("*/*/requirements.txt")]
)


def project(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(path.read_text())["project"]
    return table


def pins(lock: Path) -> dict[str, str]:
    """Return the distributions of a lock file with their versions, but those for Python 3.10 alone."""
    lines = [line for line in lock.read_text().splitlines() if "python_full_version < '3.11'" not in line]
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;]+)", "\n".join(lines)))


def imported(folder: Path) -> set[str]:
    """Return the top-level modules, outside the standard library, that the modules of a folder import."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_environment_of_make_run_has_what_the_client_needs() -> None:
    client, root = project(ROOT / "client/pyproject.toml"), project(ROOT / "pyproject.toml")
    assert root["optional-dependencies"]["client"] == client["dependencies"]


def test_every_library_that_the_client_imports_is_declared() -> None:
    declared = project(ROOT / "client/pyproject.toml")
    wanted = [*declared["dependencies"], *chain.from_iterable(declared["optional-dependencies"].values())]
    names = {re.split("[<>=]", each)[0].replace("-", "_") for each in wanted}
    assert imported(ROOT / "client/sepal_client") <= names | {"numpy", "sepal_client"}  # numpy comes with pandas


def test_client_is_locked_with_the_versions_that_are_tested() -> None:
    locked, tested = pins(ROOT / "client/requirements.txt"), pins(ROOT / "requirements/dev.txt")
    assert locked.keys() >= {"httpx", "httpx-sse", "rich", "tenacity", "typer"}
    assert locked.items() <= tested.items()


@pytest.mark.parametrize("lock", LOCKS, ids=[str(lock.relative_to(ROOT)) for lock in LOCKS])
def test_lock_file_names_no_host_and_no_folder(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("    --hash=sha256:")]
    assert [line for line in lines if "/" in line or line.startswith("-")] == []
