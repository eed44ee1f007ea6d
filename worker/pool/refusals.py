"""Finds the rows that a pipeline refuses: those for which it raises an exception."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.names import Output
from worker.pool.outputs import OutputValues

Outputs = Mapping[Output, OutputValues]
Convert = Callable[[int, int], Any]
"""Takes the number of the first row and of the row after the last; returns these rows as the pipeline takes them."""
Evaluate = Callable[[Any], Outputs]
"""Evaluates converted rows; raises any exception of the pipeline."""

_MAX_REASON_LENGTH: Final = 500  # characters: a library's message may list every value
_MAX_ONE_BY_ONE: Final = 4  # rows: halving takes as many evaluations if one of them is refused, and more for several


class SearchTooLong(Exception):
    """The search has used up its time; its rows must be scored in smaller slices."""


@dataclass
class SearchResult:
    """The result of a search; rows are numbered from 0."""

    reasons: dict[int, str] = field(default_factory=dict)
    """Why each refused row was refused."""
    parts: list[tuple[int, int, Outputs]] = field(default_factory=list)
    """For each part that was not refused, in order: its first row, the row after its last, and its outputs."""

    def merged_outputs(self) -> Outputs:
        """Return the outputs of all rows that were not refused, in order."""
        each = [outputs for _, _, outputs in self.parts]
        if len(each) == 1:
            return each[0]
        return {output: _concatenate([outputs[output] for outputs in each]) for output in each[0]}

    def accepted_rows(self) -> NDArray[np.intp]:
        """Return the numbers of the rows that were not refused, in order."""
        return np.concatenate([np.arange(start, stop) for start, stop, _ in self.parts])


class RefusalSearch:
    """Evaluates rows; if the pipeline raises, evaluates each half in the same way, down to single rows.

    It takes at most 2 log2(n) evaluations for each refused row, and at most 1.5 n in total. The parts of one size
    together have at most n rows, and there are log2(n) sizes.

    It ends after `most` refused rows, or after `seconds`: with its result if `most` is set and a refused row was found,
    otherwise with `SearchTooLong`. A single row is always evaluated, so a slice can be halved until it gets a result.
    """

    def __init__(
        self,
        convert: Convert,
        evaluate: Evaluate,
        interruptions: tuple[type[Exception], ...],
        *,
        most: int | None,
        seconds: float,
    ) -> None:
        """Prepare a search.

        Args:
            convert: its errors are raised, and do not count as refusals.
            evaluate: calls the pipeline.
            interruptions: exceptions that are not caused by the rows.
            most: how many refused rows to find; None to find all of them, and the outputs of the other rows.
            seconds: the time limit of the search.
        """
        self._convert = convert
        self._evaluate = evaluate
        self._interruptions = interruptions
        self._most = most
        self._seconds = seconds
        self._deadline = 0.0

    def run(self, n_rows: int) -> SearchResult:
        """Evaluate the rows from 0 up to `n_rows`.

        Raises:
            SearchTooLong: the time limit was reached without a usable result.
        """
        found = SearchResult()
        self._deadline = time.monotonic() + self._seconds
        self._evaluate_or_split(0, n_rows, found)
        return found

    def _evaluate_or_split(self, start: int, stop: int, found: SearchResult, is_refused: bool = False) -> bool:
        """Evaluate rows, unless they are known to be refused together; return whether they are refused."""
        if not is_refused or stop - start == 1:
            converted = self._convert(start, stop)
            try:
                found.parts.append((start, stop, self._evaluate(converted)))
            except self._interruptions:
                raise
            except Exception as error:  # an exception of the pipeline fails only the rows that cause it
                if stop - start == 1:
                    found.reasons[start] = str(error)[:_MAX_REASON_LENGTH] or type(error).__name__
                    return True
            else:
                return False
            del converted
        any_refused = False
        for first, last in _split_range(start, stop):
            if self._has_ended(found):
                return True
            is_last = last == stop
            any_refused |= self._evaluate_or_split(first, last, found, is_refused=is_last and not any_refused)
        return True

    def _has_ended(self, found: SearchResult) -> bool:
        if self._most is not None and len(found.reasons) >= self._most:
            return True
        if time.monotonic() < self._deadline:
            return False
        if self._most is None or not found.reasons:
            raise SearchTooLong
        return True


def _split_range(start: int, stop: int) -> Iterator[tuple[int, int]]:
    if stop - start <= _MAX_ONE_BY_ONE:
        yield from ((row, row + 1) for row in range(start, stop))
    else:
        middle = (start + stop) // 2
        yield from ((start, middle), (middle, stop))


def _concatenate(parts: list[OutputValues]) -> OutputValues:
    if isinstance(parts[0], list):
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    return np.concatenate(parts)
