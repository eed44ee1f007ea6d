"""Programs that some tests need."""

import os
import shutil
from typing import NoReturn

import pytest


def tool(*names: str) -> str:
    """Return the path of a program, by any of its names; without it, skip the test, or fail it in CI."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or skip_without(f"{names[0]} on the PATH")


def skip_without(requirement: str) -> NoReturn:
    """Skip the test for lack of a requirement, or fail it in CI."""
    reason = f"this test needs {requirement}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
