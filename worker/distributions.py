"""Finds the distributions that an artifact needs: those of the modules from which its loading imports names."""

import ast
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any
from zipfile import ZipFile


@contextmanager
def record_modules() -> Iterator[set[str]]:
    """Record the modules from which unpicklers import names within the context.

    Python raises the audit event `pickle.find_class` for each (https://docs.python.org/3/library/audit_events.html).
    An audit hook cannot be removed, so this is for short-lived processes.
    """
    modules: set[str] = set()
    is_recording = True

    def record_import(event: str, arguments: tuple[Any, ...]) -> None:
        if is_recording and event == "pickle.find_class":
            modules.add(arguments[0])

    sys.addaudithook(record_import)
    yield modules
    is_recording = False


def find_distribution_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that provide these modules, by name of the distribution."""
    providers = packages_distributions()
    tops = {module.partition(".")[0] for module in modules}
    names = {providers[top][0] for top in tops if top in providers}
    return {name: version(name) for name in sorted(names)}


def find_own_code_imports(own_modules: Collection[str]) -> set[str]:
    """Return the names of the modules that own code imports, at the top level or in a function.

    Args:
        own_modules: the top-level modules of the own code. Only modules that this process has imported are searched.
    """
    found: set[str] = set()
    files = [
        getattr(module, "__file__", None)
        for name, module in sys.modules.items()
        if name.partition(".")[0] in own_modules
    ]
    for path in [Path(file) for file in files if file is not None and file.endswith(".py")]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return found


def find_skops_modules(path: Path) -> set[str]:
    """Return the modules from which loading a skops file imports names, and `skops`."""
    with ZipFile(path) as file:
        schema = json.loads(file.read("schema.json"))
    found, waiting = {"skops"}, [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found.add(str(node.get("__module__", "skops")))
        if isinstance(node, (dict, list)):
            waiting += node.values() if isinstance(node, dict) else node
    return found
