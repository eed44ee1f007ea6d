"""The progress bar: one line on standard error, if that is a terminal."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

from sepal_client.cli.quantities import format_bytes, format_count, format_duration, format_rows
from sepal_client.progress import Progress, State

if TYPE_CHECKING:
    from rich import progress as rich_progress

_TEXT_WIDTH: Final = 68  # columns that the longest usual text beside the bar takes
_LONGEST_BAR: Final = 30
_SHORTEST_BAR: Final = 8
_SECONDS_PER_UPDATE: Final = 0.05  # thousands of pieces are transferred per second


class ProgressBar:
    """Shows the phases of a bulk prediction: upload, queue, rows, download."""

    def __init__(self, address: str, *, is_quiet: bool = False) -> None:
        """Create the bar; it is shown when the context is entered.

        Args:
            address: of the gateway, shown until there is progress.
            is_quiet: show nothing, even on a terminal.
        """
        self._address = address
        self._shown = _new_rich_progress() if sys.stderr.isatty() and not is_quiet else None
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

    def show_sent(self, bytes_sent: int, total_bytes: int | None) -> None:
        """Show the progress of the upload."""
        self._show_transfer("Uploading", bytes_sent, total_bytes)
        if bytes_sent == total_bytes:
            self._show("Checking", None, None, "the rows")

    def show_received(self, bytes_received: int, total_bytes: int | None) -> None:
        """Show the progress of the download."""
        self._show_transfer("Downloading", bytes_received, total_bytes)

    def show_progress(self, progress: Progress) -> None:
        """Show the position in the queue, or the rows that are done."""
        if progress.state is State.QUEUED and not progress.rows_done:
            self._show("Queued", None, None, _position_text(progress.position))
        else:
            self._show("Scoring", progress.rows_done, progress.rows_total, _rows_text(progress))

    def _show_transfer(self, phase: str, bytes_done: int, total_bytes: int | None) -> None:
        if self._shown is None:
            return
        now = time.monotonic()
        if phase != self._phase:
            self._began = now
        elif now - self._updated < _SECONDS_PER_UPDATE and bytes_done != total_bytes:
            return
        self._updated = now
        self._show(phase, bytes_done, total_bytes, _transfer_text(bytes_done, total_bytes, now - self._began))

    def _show(self, phase: str, n_done: int | None, n_total: int | None, text: str) -> None:
        if self._shown is None:
            return
        if phase != self._phase or self._task is None:
            if self._task is not None:
                self._shown.remove_task(self._task)
            self._phase, self._task = phase, self._shown.add_task(phase, total=n_total, text=text)
        self._shown.update(self._task, completed=n_done, total=n_total, text=text)


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


def _rows_text(progress: Progress) -> str:
    parts = [f"{progress.rows_done:,}/{format_rows(progress.rows_total)}"]
    if progress.rows_per_second:
        parts.append(f"{progress.rows_per_second:,.0f}/s")
    if progress.seconds_left is not None and not progress.is_final:
        parts.append(f"{format_duration(progress.seconds_left)} left")
    if progress.rows_bad:
        parts.append(f"{progress.rows_bad:,} bad")
    return "  ".join(parts)


def _transfer_text(bytes_done: int, total_bytes: int | None, seconds: float) -> str:
    parts = [
        format_bytes(bytes_done) if total_bytes is None else f"{format_bytes(bytes_done)}/{format_bytes(total_bytes)}"
    ]
    if seconds > 0 and bytes_done:
        rate = bytes_done / seconds
        parts.append(f"{format_bytes(rate)}/s")
        if total_bytes is not None and seconds > 1:
            parts.append(f"{format_duration((total_bytes - bytes_done) / rate)} left")
    return "  ".join(parts)
