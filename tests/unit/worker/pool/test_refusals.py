"""The search for the rows that a pipeline refuses: its results and its cost."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from shared.names import Output
from worker.pool.refusals import RefusalSearch, SearchResult, SearchTooLong


class Interruption(Exception):
    """A time limit."""


class Pipeline:
    """Refuses some numbers, and counts its calls and their rows."""

    def __init__(self, bad: Collection[int] = (), most_rows: float = math.inf) -> None:
        self.bad = set(bad)
        self.most_rows = most_rows
        self.calls: list[int] = []

    def __call__(self, rows: range) -> dict[Output, Any]:
        self.calls.append(len(rows))
        if len(rows) > self.most_rows:
            raise MemoryError
        for row in rows:
            if row in self.bad:
                raise ValueError(f"bad {row}")
        return {Output.PREDICTION: np.array(rows) * 10, Output.PROBA: [np.array(rows), np.array(rows) + 0.5]}


def find(
    pipeline: Pipeline, n_rows: int, max_refused: int | None = None, time_limit_seconds: float = 60
) -> SearchResult:
    return RefusalSearch(
        range, pipeline, (Interruption,), max_refused=max_refused, time_limit_seconds=time_limit_seconds
    ).run(n_rows)


def test_rows_that_are_taken_are_evaluated_once() -> None:
    pipeline = Pipeline()
    found = find(pipeline, 1000)
    assert pipeline.calls == [1000]
    assert (found.reasons, [part[:2] for part in found.parts]) == ({}, [(0, 1000)])
    assert found.merged_outputs()[Output.PREDICTION] is found.parts[0][2][Output.PREDICTION]


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 7, 64, 1000])
@pytest.mark.parametrize(
    "bad", [{0}, {1, 2}, {0, 4, 5, 6, 63}, {3, 500, 501, 999}, set(range(0, 1000, 3)), set(range(1000))]
)
def test_each_refused_row_has_its_reason_and_the_others_their_outputs(n_rows: int, bad: set[int]) -> None:
    found = find(Pipeline(bad), n_rows)
    refused = {row for row in bad if row < n_rows}
    assert found.reasons == {row: f"bad {row}" for row in refused}
    good = [row for row in range(n_rows) if row not in refused]
    if good:
        assert found.accepted_rows().tolist() == good
        outputs = found.merged_outputs()
        assert outputs[Output.PREDICTION].tolist() == [10 * row for row in good]  # type: ignore[union-attr]
        assert [each.tolist() for each in outputs[Output.PROBA]] == [good, [row + 0.5 for row in good]]
    else:
        assert found.parts == []


def test_few_refused_rows_cost_two_logarithms_each() -> None:
    pipeline = Pipeline({5, 700})
    find(pipeline, 1024)
    assert len(pipeline.calls) <= 2 * 2 * math.log2(1024)


def test_all_refused_rows_cost_less_than_two_evaluations_each() -> None:
    pipeline = Pipeline(range(4096))
    find(pipeline, 4096)
    assert len(pipeline.calls) <= 1.5 * 4096
    assert sum(pipeline.calls) <= 4096 * (math.log2(4096) + 1)


def test_search_ends_after_the_refused_rows_that_are_wanted() -> None:
    pipeline = Pipeline(range(100_000))
    assert list(find(pipeline, 100_000, max_refused=100).reasons) == list(range(100))
    assert len(pipeline.calls) < 200


def test_search_that_takes_too_long_is_given_up_even_if_one_part_remains() -> None:
    for n_rows in (2, 1000):
        with pytest.raises(SearchTooLong):
            find(Pipeline({n_rows - 1}), n_rows, time_limit_seconds=0)
    assert find(Pipeline({0}), 1, time_limit_seconds=0).reasons == {0: "bad 0"}


def test_search_that_takes_too_long_ends_with_what_it_found_if_only_some_are_wanted() -> None:
    class Slow(Pipeline):
        def __call__(self, rows: range) -> dict[Output, Any]:
            if rows.start > 3:
                search._deadline = 0
            return super().__call__(rows)

    search = RefusalSearch(range, Slow(range(1000)), (), max_refused=100, time_limit_seconds=60)
    assert 1 <= len(search.run(1000).reasons) < 100


def test_rows_that_are_refused_together_only_are_evaluated_in_parts() -> None:
    found = find(Pipeline(most_rows=100), 1000)
    assert found.reasons == {}
    assert found.accepted_rows().tolist() == list(range(1000))
    assert found.merged_outputs()[Output.PREDICTION].tolist() == [10 * row for row in range(1000)]  # type: ignore[union-attr]


def test_interruptions_and_errors_of_the_conversion_are_raised() -> None:
    def interrupted(_: Any) -> Any:
        raise Interruption

    def unconvertible(_: int, __: int) -> Any:
        raise ValueError

    with pytest.raises(Interruption):
        RefusalSearch(range, interrupted, (Interruption,), max_refused=None, time_limit_seconds=60).run(10)
    with pytest.raises(ValueError):  # noqa: PT011  it is not caught as a refusal would be
        RefusalSearch(unconvertible, Pipeline(), (Interruption,), max_refused=None, time_limit_seconds=60).run(10)


def test_reason_without_a_text_is_the_name_of_its_exception() -> None:
    assert find(Pipeline(most_rows=0), 1).reasons == {0: "MemoryError"}
