"""The rows of a result that a download returns."""

import pytest

from api.bulk.downloads import Window, results_before_first_gap
from shared.bulk import SliceResult


def results(*ranges: tuple[int, int]) -> list[SliceResult]:
    return [SliceResult(first, n_rows, f"{first}", 1) for first, n_rows in ranges]


@pytest.mark.parametrize(
    ("done", "kept"),
    [
        ([], 0),
        ([(0, 5)], 1),
        ([(0, 5), (5, 3), (8, 1)], 3),
        ([(0, 5), (6, 3)], 1),
        ([(5, 3)], 0),
    ],
)
def test_rows_are_given_up_to_the_first_that_is_not_done(done: list[tuple[int, int]], kept: int) -> None:
    assert results_before_first_gap(results(*done)) == results(*done[:kept])


@pytest.mark.parametrize(
    ("window", "n_rows"),
    [
        (Window(), 10),
        (Window(3), 7),
        (Window(3, 4), 4),
        (Window(8, 4), 2),
        (Window(10), 0),
        (Window(2**53, 1), 0),
        (Window(0, 0), 0),
    ],
)
def test_window_never_reaches_beyond_the_rows(window: Window, n_rows: int) -> None:
    assert window.n_rows(10) == n_rows
