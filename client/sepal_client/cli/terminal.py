"""Formats terminal output: colors, aligned columns, and escaped control characters."""

import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

BOLD: Final = "1"
GREEN: Final = "32"
RED: Final = "31"
_GAP: Final = "  "


def apply_style(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style (SGR parameters of ECMA-48) if the stream is a terminal that supports colors."""
    return f"\x1b[{style}m{text}\x1b[0m" if text and _has_colors(stream or sys.stdout) else text


def escape_controls(text: str) -> str:
    """Return the text with control characters escaped, so that a terminal does not interpret them."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def align_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right_columns: frozenset[int] = frozenset()
) -> list[str]:
    """Return the lines of a table with aligned columns.

    Args:
        header: the column names, for the first line.
        rows: the cells of the other lines.
        right_columns: the indices of the right-aligned columns.
    """
    cells = [[escape_controls(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(_display_width, column)) for column in zip(*cells, strict=True)]
    lines = [
        _GAP.join(_pad(cell, widths[i], i in right_columns) for i, cell in enumerate(row)).rstrip() for row in cells
    ]
    return [apply_style(lines[0], BOLD), *lines[1:]]


def print_lines(lines: Sequence[str]) -> None:
    """Print lines to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _has_colors(stream: TextIO) -> bool:
    # https://no-color.org
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _pad(cell: str, width: int, is_right_aligned: bool) -> str:
    padding = " " * (width - _display_width(cell))
    return padding + cell if is_right_aligned else cell + padding


def _display_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # some characters, such as most Chinese ones, take two columns or none

    return cell_len(text)
