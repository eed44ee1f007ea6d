"""How long tests wait for what must happen: the only place for it, so that a busy machine needs one number changed.

`pytest --patience SECONDS` sets it for pytest's own processes and, by a variable, for those that they start.
"""

import os

VARIABLE = "TESTS_PATIENCE_SECONDS"
DEFAULT_SECONDS = 120.0
PATIENCES_A_TEST = 10  # a test waits for more than one thing, and some of them start everything first


def patience() -> float:
    """Seconds that a test waits for one thing before it fails."""
    return float(os.environ.get(VARIABLE, DEFAULT_SECONDS))


def set_patience(seconds: float) -> None:
    """Have this process and its children wait for so long."""
    os.environ[VARIABLE] = str(seconds)


def longest_test() -> float:
    """Seconds after which a test is ended from outside."""
    return PATIENCES_A_TEST * patience()
