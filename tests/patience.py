"""How long tests wait for a condition before they fail. A slow machine needs a higher number only here.

`pytest --patience SECONDS` sets it for the processes of pytest and, by a variable, for their children.
"""

import os

VARIABLE = "TESTS_PATIENCE_SECONDS"
DEFAULT_SECONDS = 120.0
WAITS_PER_TEST = 10  # a test waits for several conditions, and may start a whole stack first


def patience() -> float:
    """Return the seconds after which a test that waits for a condition fails."""
    return float(os.environ.get(VARIABLE, DEFAULT_SECONDS))


def set_patience(seconds: float) -> None:
    """Set the patience of this process and its children."""
    os.environ[VARIABLE] = str(seconds)


def longest_test() -> float:
    """Return the seconds after which pytest-timeout ends a test."""
    return WAITS_PER_TEST * patience()
