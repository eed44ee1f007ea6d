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
RowConverter = Callable[[int, int], Any]
"""Takes the number of the first row and of the row after the last; returns these rows as the pipeline takes them."""
RowEvaluator = Callable[[Any], Outputs]
"""Evaluates converted rows; raises any exception of the pipeline."""

_MAX_REASON_LENGTH: Final = 500  # characters: a library's message may list every value
# Halving takes as many evaluations if one of so many rows is refused, and more for several.
_MAX_ROWS_ONE_BY_ONE: Final = 4


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

    It ends after `max_refused` refused rows, or after `time_limit_seconds`: with its result if `max_refused` is set and
    a refused row was found, otherwise with `SearchTooLong`. A single row is always evaluated, so a slice can be halved
    until it gets a result.
    """

    def __init__(
        self,
        convert: RowConverter,
        evaluate: RowEvaluator,
        interruptions: tuple[type[Exception], ...],
        *,
        max_refused: int | None,
        time_limit_seconds: float,
    ) -> None:
        """Prepare a search.

        Args:
            convert: its errors are raised, and do not count as refusals.
            evaluate: calls the pipeline.
            interruptions: exceptions that are not caused by the rows.
            max_refused: how many refused rows to find; None to find all of them, and the outputs of the other rows.
            time_limit_seconds: the time limit of the search.
        """
        self._convert = convert
        self._evaluate = evaluate
        self._interruptions = interruptions
        self._max_refused = max_refused
        self._time_limit_seconds = time_limit_seconds
        self._deadline = 0.0

    def run(self, n_rows: int) -> SearchResult:
        """Evaluate the rows from 0 up to `n_rows`.

        Raises:
            SearchTooLong: the time limit was reached without a usable result.
        """
        result = SearchResult()
        self._deadline = time.monotonic() + self._time_limit_seconds
        self._evaluate_or_split(0, n_rows, result)
        return result

    def _evaluate_or_split(self, start: int, stop: int, result: SearchResult, is_refused: bool = False) -> bool:
        """Evaluate rows, unless they are known to be refused together; return whether they are refused."""
        if not is_refused or stop - start == 1:
            converted = self._convert(start, stop)
            try:
                result.parts.append((start, stop, self._evaluate(converted)))
            except self._interruptions:
                raise
            except Exception as error:  # an exception of the pipeline fails only the rows that cause it
                if stop - start == 1:
                    result.reasons[start] = str(error)[:_MAX_REASON_LENGTH] or type(error).__name__
                    return True
            else:
                return False
            del converted
        any_refused = False
        for first, last in _split_range(start, stop):
            if self._has_ended(result):
                return True
            is_last = last == stop
            any_refused |= self._evaluate_or_split(first, last, result, is_refused=is_last and not any_refused)
        return True

    def _has_ended(self, result: SearchResult) -> bool:
        if self._max_refused is not None and len(result.reasons) >= self._max_refused:
            return True
        if time.monotonic() < self._deadline:
            return False
        if self._max_refused is None or not result.reasons:
            raise SearchTooLong
        return True


def _split_range(start: int, stop: int) -> Iterator[tuple[int, int]]:
    if stop - start <= _MAX_ROWS_ONE_BY_ONE:
        yield from ((row, row + 1) for row in range(start, stop))
    else:
        middle = (start + stop) // 2
        yield from ((start, middle), (middle, stop))


def _concatenate(parts: list[OutputValues]) -> OutputValues:
    if isinstance(parts[0], list):
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    return np.concatenate(parts)
