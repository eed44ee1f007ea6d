"""Numbers formatted for people."""

import pytest

from sepal_client.cli.quantities import format_bytes, format_duration, format_rows


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.84, "0.8 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (7505, "2 h 5 min"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_bytes_have_the_unit_that_keeps_them_short(number: float, words: str) -> None:
    assert format_bytes(number) == words


def test_one_row_is_no_plural() -> None:
    assert (format_rows(1), format_rows(1_000_000)) == ("1 row", "1,000,000 rows")
