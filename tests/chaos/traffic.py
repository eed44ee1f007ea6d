"""What is sent: every row carries a number of its own, and may ask the pipeline for trouble.

Client, judge and pipeline agree on it here; nothing in this module is heavy to import.
"""

import random
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

FEATURES: Final = ["trouble", "argument", "number"]
ROWS_A_SUBMISSION: Final = 10_000  # numbers are not shared: row i of submission n has the number n * 10,000 + i


class Trouble(IntEnum):
    """What a row has the pipeline do, as its first column says."""

    NONE = 0
    DIE = 1  # kill the process that predicts it
    HANG = 2  # never return
    EAT = 3  # take as many bytes of memory as the second column says
    TELL = 4  # once: write who predicts it, and then take as many milliseconds as the second column says


class Question(msgspec.Struct, frozen=True):
    """One submission, before it has a place in the ledger."""

    n_rows: int
    prefer: str
    trouble: Trouble = Trouble.NONE
    argument: float = 0
    injection: int | None = None
    """The injection that it belongs to, where it is part of the fault."""

    def rows(self, number: int) -> list[list[float]]:
        """Write the rows of submission `number`; only the first one is troublesome."""
        first = number * ROWS_A_SUBMISSION
        calm = [[0.0, 0.0, float(first + place)] for place in range(self.n_rows)]
        return [[float(self.trouble), self.argument, calm[0][2]], *calm[1:]]

    def calm(self) -> "Question":
        """The same rows without the trouble: their answers are the same."""
        return Question(self.n_rows, self.prefer)


# Shares of a hundred. A large prediction spans batches (more than 1,024 rows) and travels by the other queue.
_KINDS: Final = {"single": 62, "many": 37, "large": 1}
_PREFERENCES: Final = {"": 45, "respond-async": 45, "wait=1": 10}


def steady(seed: int) -> Iterator[Question]:
    """Say what to send next, for ever."""
    dice = random.Random(seed)
    while True:
        (kind,) = dice.choices(list(_KINDS), list(_KINDS.values()))
        (prefer,) = dice.choices(list(_PREFERENCES), list(_PREFERENCES.values()))
        n_rows = {"single": 1, "many": dice.randint(2, 50), "large": dice.randint(1025, 3000)}[kind]
        yield Question(n_rows, prefer)
