"""The progress bar: its text in each phase, and that it is shown only on a terminal."""

import pytest

from sepal_client.cli.bar import ProgressBar
from sepal_client.progress import Progress, State
from tests.unit.client.cli.terminals import terminal


def running(**members: object) -> Progress:
    """Return the progress of a prediction of 1,000,000 rows."""
    known = {"id": "AaIG", "state": State.RUNNING, "rows_done": 0, "rows_total": 1_000_000}
    return Progress(**{**known, **members})  # type: ignore[arg-type]


def test_address_is_shown_until_the_gateway_answers() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        assert bar.is_shown
    assert "Connecting" in shown.getvalue()
    assert "http://gateway" in shown.getvalue()


def test_queue_is_shown_until_rows_are_done() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_progress(running(state=State.QUEUED, position=2))
    line = shown.getvalue()
    assert "Queued" in line
    assert "behind 2 predictions" in line


def test_rows_are_shown_with_rate_time_left_and_bad_rows() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_progress(running(rows_done=412_034, rows_per_second=81_200.0, seconds_left=7, rows_bad=3))
    assert "412,034/1,000,000 rows  81,200/s  7 s left  3 bad" in shown.getvalue()


def test_bytes_are_shown_with_those_in_all() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_sent(42_000_000, 101_000_000)
    line = shown.getvalue()
    assert "Uploading" in line
    assert "42.0 MB/101.0 MB" in line


def test_reading_of_the_rows_is_a_phase_of_its_own() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_sent(10, 10)
    assert "Checking" in shown.getvalue()


def test_download_of_unknown_length_is_shown() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_received(5_000, None)
    assert "Downloading" in shown.getvalue()


def test_line_is_gone_at_the_end() -> None:
    with terminal() as shown, ProgressBar("http://gateway") as bar:
        bar.show_progress(running())
    assert shown.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_line_fits_the_terminal(columns: int) -> None:
    many = running(rows_done=999_999_999, rows_total=1_000_000_000, rows_per_second=9e7, rows_bad=1, seconds_left=7505)
    with terminal(columns) as shown, ProgressBar("http://gateway") as bar:
        bar.show_progress(many)
    assert shown.getvalue().count("\n") == 1  # at the end, before the line is erased


def test_nothing_is_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("http://gateway") as bar:
        bar.show_sent(1, 2)
        bar.show_progress(running())
    assert (capsys.readouterr().err, bar.is_shown) == ("", False)


def test_quiet_command_shows_nothing() -> None:
    with terminal() as shown, ProgressBar("http://gateway", is_quiet=True) as bar:
        bar.show_progress(running())
    assert (shown.getvalue(), bar.is_shown) == ("", False)
