"""Finds the distributions that a pickle needs: those of the modules in which unpickling it looks names up."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from typing import Any


@contextmanager
def recorded_modules() -> Iterator[set[str]]:
    """Record the names of the modules in which unpicklers look names up within the context.

    Python raises the audit event `pickle.find_class` for each (https://docs.python.org/3/library/audit_events.html).
    An audit hook stays for the life of a process: this is for processes that end soon.
    """
    modules: set[str] = set()
    is_recording = True

    def record(event: str, arguments: tuple[Any, ...]) -> None:
        if is_recording and event == "pickle.find_class":
            modules.add(arguments[0])

    sys.addaudithook(record)
    yield modules
    is_recording = False


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that provide these modules, by name of the distribution."""
    providers = packages_distributions()
    names = {providers[top][0] for module in modules if (top := module.partition(".")[0]) in providers}
    return {name: version(name) for name in sorted(names)}
