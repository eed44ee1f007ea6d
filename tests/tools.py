"""Tools of the machine's that some tests need."""

import os
import shutil
from typing import NoReturn

import pytest


def tool(*names: str) -> str:
    """Find a program under one of its names; without it the test is skipped, and fails in CI."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or missing(f"{names[0]} on the PATH")


def missing(what: str) -> NoReturn:
    """Say what a test lacks."""
    reason = f"this test needs {what}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
