"""The progress bar: one line on standard error, if that is a terminal."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

from sepal_client.cli.words import format_bytes, format_count, format_duration, format_rows
from sepal_client.progress import Progress, State

if TYPE_CHECKING:
    from rich import progress as rich_progress

_TEXT_WIDTH: Final = 68  # columns that the longest usual text beside the bar takes
_LONGEST_BAR: Final = 30
_SHORTEST_BAR: Final = 8
_SECONDS_PER_UPDATE: Final = 0.05  # thousands of pieces are transferred per second


class ProgressBar:
    """Shows the phases of a bulk prediction: upload, queue, rows, download."""

    def __init__(self, address: str, *, quiet: bool = False) -> None:
        """Create the bar; it is shown when the context is entered.

        Args:
            address: of the gateway, shown until there is progress.
            quiet: show nothing, even on a terminal.
        """
        self._address = address
        self._shown = _new_rich_progress() if sys.stderr.isatty() and not quiet else None
        self._phase = ""
        self._task: rich_progress.TaskID | None = None
        self._began = self._updated = 0.0

    @property
    def is_shown(self) -> bool:
        """Whether the bar is shown at all."""
        return self._shown is not None

    def __enter__(self) -> "ProgressBar":
        try:
            if self._shown is not None:
                self._shown.start()
                if not self._phase:
                    self._show("Connecting", None, None, self._address)
        except BaseException:  # Ctrl-C during the start, after which `__exit__` is not called
            self.stop()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Erase the line, and show nothing more."""
        if self._shown is not None:
            self._shown.stop()

    def show_sent(self, done: int, total: int | None) -> None:
        """Show the progress of the upload."""
        self._show_transfer("Uploading", done, total)
        if done == total:
            self._show("Checking", None, None, "the rows")

    def show_received(self, done: int, total: int | None) -> None:
        """Show the progress of the download."""
        self._show_transfer("Downloading", done, total)

    def show_progress(self, now: Progress) -> None:
        """Show the position in the queue, or the rows that are done."""
        if now.state is State.QUEUED and not now.rows_done:
            self._show("Queued", None, None, _position_text(now.position))
        else:
            self._show("Scoring", now.rows_done, now.rows_total, _rows_text(now))

    def _show_transfer(self, phase: str, done: int, total: int | None) -> None:
        if self._shown is None:
            return
        now = time.monotonic()
        if phase != self._phase:
            self._began = now
        elif now - self._updated < _SECONDS_PER_UPDATE and done != total:
            return
        self._updated = now
        self._show(phase, done, total, _transfer_text(done, total, now - self._began))

    def _show(self, phase: str, done: int | None, total: int | None, text: str) -> None:
        if self._shown is None:
            return
        if phase != self._phase or self._task is None:
            if self._task is not None:
                self._shown.remove_task(self._task)
            self._phase, self._task = phase, self._shown.add_task(phase, total=total, text=text)
        self._shown.update(self._task, completed=done, total=total, text=text)


def _new_rich_progress() -> "rich_progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Shown
    from rich.table import Column

    console = Console(stderr=True)
    text = Column(no_wrap=True, overflow="ellipsis")
    columns: list[ProgressColumn] = [
        TextColumn("{task.description:<11}", style="bold", table_column=text),
        TextColumn("{task.fields[text]}", markup=False, table_column=text),
    ]
    bar_width = min(_LONGEST_BAR, console.width - _TEXT_WIDTH)
    if bar_width >= _SHORTEST_BAR:
        columns.insert(
            1, BarColumn(bar_width=bar_width, complete_style="green", finished_style="green", pulse_style="green")
        )
    # Nothing else is written to the streams while the bar is shown.
    return Shown(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


def _position_text(position: int | None) -> str:
    if not position:
        return "next"
    return f"behind {format_count(position, 'prediction')}"


def _rows_text(now: Progress) -> str:
    parts = [f"{now.rows_done:,}/{format_rows(now.rows_total)}"]
    if now.rows_per_second:
        parts.append(f"{now.rows_per_second:,.0f}/s")
    if now.seconds_left is not None and not now.is_final:
        parts.append(f"{format_duration(now.seconds_left)} left")
    if now.rows_bad:
        parts.append(f"{now.rows_bad:,} bad")
    return "  ".join(parts)


def _transfer_text(done: int, total: int | None, seconds: float) -> str:
    parts = [format_bytes(done) if total is None else f"{format_bytes(done)}/{format_bytes(total)}"]
    if seconds > 0 and done:
        rate = done / seconds
        parts.append(f"{format_bytes(rate)}/s")
        if total is not None and seconds > 1:
            parts.append(f"{format_duration((total - done) / rate)} left")
    return "  ".join(parts)
