"""The traffic of a chaos run: every row has a unique number, and may cause trouble in the pipeline.

The client, the judge and the pipeline import this module; it imports no large package.
"""

import random
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

FEATURES: Final = ["trouble", "argument", "number"]
MAX_ROWS_PER_SUBMISSION: Final = 10_000  # row i of submission n has the number n * 10,000 + i


class Trouble(IntEnum):
    """The trouble that a row causes in the pipeline: the value of its first column."""

    NONE = 0
    KILL = 1  # kill the process that predicts it
    HANG = 2  # never return
    ALLOCATE = 3  # allocate the number of bytes in the second column
    REPORT_PID = 4  # once: write the pid to a file, then sleep for the milliseconds in the second column


class Submission(msgspec.Struct, frozen=True):
    """A submission without its number in the ledger."""

    n_rows: int
    prefer: str
    trouble: Trouble = Trouble.NONE
    argument: float = 0
    injection: int | None = None
    """The number of the injection, if the submission is part of the fault."""

    def rows(self, number: int) -> list[list[float]]:
        """Return the rows of submission `number`; only the first one makes trouble."""
        first = number * MAX_ROWS_PER_SUBMISSION
        plain = [[0.0, 0.0, float(first + index)] for index in range(self.n_rows)]
        return [[float(self.trouble), self.argument, plain[0][2]], *plain[1:]]

    def without_trouble(self) -> "Submission":
        """Return the same rows without trouble, with the same expected results."""
        return Submission(self.n_rows, self.prefer)


# Of a hundred submissions. A large one (more than 1,024 rows) spans batches and uses the bulk queue.
_KINDS: Final = {"single": 62, "many": 37, "large": 1}
_PREFERENCES: Final = {"": 45, "respond-async": 45, "wait=1": 10}


def steady_traffic(seed: int) -> Iterator[Submission]:
    """Generate random submissions without end."""
    rng = random.Random(seed)
    while True:
        (kind,) = rng.choices(list(_KINDS), list(_KINDS.values()))
        (prefer,) = rng.choices(list(_PREFERENCES), list(_PREFERENCES.values()))
        n_rows = {"single": 1, "many": rng.randint(2, 50), "large": rng.randint(1025, 3000)}[kind]
        yield Submission(n_rows, prefer)
