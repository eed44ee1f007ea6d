"""Reads and writes skops files, which list the types that they contain and are never unpickled."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from shared.errors import CannotServe

SUFFIX = ".skops"


def dump(pipeline: Any, path: Path) -> None:
    """Write a pipeline.

    Raises:
        CannotServe: skops cannot write it.
    """
    from skops import io  # imported in functions: most artifacts are pickles

    try:
        io.dump(pipeline, path)
    except Exception as error:  # also any exception of the pipeline's own methods
        raise CannotServe(
            f"skops cannot write the pipeline ({type(error).__name__}: {error})", "Save it as a pickle."
        ) from error


def load(path: Path, trusted_types: Collection[str]) -> Any:
    """Load a pipeline. If it contains an untrusted type, nothing is imported or constructed.

    Raises:
        CannotServe: it contains types that neither skops nor `trusted_types` trusts.
    """
    from skops import io

    check_types(path, trusted_types)
    return io.load(path, trusted=list(trusted_types))


def check_types(path: Path, trusted_types: Collection[str]) -> None:
    """Check that a file contains only types that skops or `trusted_types` trusts.

    Raises:
        CannotServe: it contains other types; the message lists all of them.
    """
    if untrusted := [name for name in find_untrusted_types(path) if name not in trusted_types]:
        wanted = [*trusted_types, *untrusted]
        raise CannotServe(
            f"{path.name} contains types that are not trusted: {', '.join(untrusted)}",
            f"If you trust them, give them to `save` with trusted_types=[…], or --trust {' '.join(wanted)} on the "
            f"command line; workers need SEPAL_TRUSTED_TYPES={','.join(wanted)}.",
        )


def find_untrusted_types(path: Path) -> list[str]:
    """Return the full names of the types in a file that skops does not trust by itself."""
    from skops import io

    return sorted(map(str, io.get_untrusted_types(file=path)))
