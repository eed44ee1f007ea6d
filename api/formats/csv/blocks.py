"""Cuts CSV into blocks of whole rows, and finds the row, line and cell of a byte.

As RFC 4180 requires, quotes enclose whole cells and are doubled within them. So a line break ends a row exactly if the
number of quotes before it is even.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

BLOCK_BYTES: Final = 2**20
MAX_ROW_BYTES: Final = 2**23
_BOM: Final = b"\xef\xbb\xbf"
_QUOTED_PART: Final = re.compile(rb'"[^"]*"')
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_QUOTED_PART_PLACEHOLDER: Final = b"\0"  # a placeholder for a pair of quotes; valid cells do not contain it


class Block(NamedTuple):
    """Consecutive whole rows."""

    content: bytes
    first_line: int
    """The number of its first line in the whole body, from 1."""

    @property
    def n_lines(self) -> int:
        """The number of line breaks."""
        content = self.content
        if b"\r" not in content:
            return content.count(b"\n")
        return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")

    def row_lines(self) -> list[int]:
        """Return the number of the line in which each row begins."""
        masked = _QUOTED_PART.sub(
            lambda pair: b"x" + _QUOTED_PART_PLACEHOLDER * len(_LINE_END.findall(pair[0])), self.content
        )
        lines, line = [], self.first_line
        for row in masked.splitlines():
            if row:
                lines.append(line)
            line += 1 + row.count(_QUOTED_PART_PLACEHOLDER)
        return lines

    def locate(self, offset: int, delimiter: bytes) -> tuple[int, int, int]:
        """Return the line, the row of the block and the cell of a byte; lines count from 1, rows and cells from 0."""
        before = self.content[:offset]
        line = self.first_line + len(_LINE_END.findall(before))
        masked = _QUOTED_PART.sub(_QUOTED_PART_PLACEHOLDER, before).partition(b'"')[
            0
        ]  # an open quote begins the cell of the byte
        *rows, last = (masked + b".").splitlines()
        return line, sum(1 for row in rows if row), last.count(delimiter)


def read_blocks(body: Any) -> Iterator[Block]:
    """Read a body to its end; skip a byte order mark.

    If a row exceeds `MAX_ROW_BYTES`, the block that begins with it is the last one.
    """
    pending, line, is_first = b"", 1, True
    while chunk := body.read(BLOCK_BYTES):
        pending += chunk
        if is_first and len(pending) >= len(_BOM):
            pending, is_first = pending.removeprefix(_BOM), False
        end = _find_last_row_end(pending)
        if end:
            block = Block(pending[:end], line)
            pending = pending[end:]
            yield block
            line += block.n_lines
        if len(pending) > MAX_ROW_BYTES:
            break
    if pending:
        # Without a line break at the end, pyarrow takes an empty last cell for quoted if the one before it is.
        yield Block(pending if pending.endswith((b"\n", b"\r")) else pending + b"\n", line)


def find_invalid_byte(block: Block, delimiter: bytes) -> tuple[int, str] | None:
    """Return the offset of the first invalid byte, and the problem; None if all bytes are valid."""
    content = block.content
    if (nul := content.find(b"\0")) >= 0:
        return nul, "contains a NUL byte, which is not text"
    if b'"' not in content:
        return None
    parts = content.split(b'"')
    outside = b'"'.join(parts[::2])  # each quoted part is replaced by one quote
    kinds = outside.translate(_byte_kind_table(delimiter))
    stray = min((at for at in (kinds.find(b'x"'), kinds.find(b'"x')) if at >= 0), default=-1)
    if stray >= 0:
        return _unmask_offset(content, stray), _STRAY_QUOTE_PROBLEM
    if len(parts) % 2:
        return None
    opening = len(parts) - 2
    while opening and not parts[opening]:  # skip doubled quotes
        opening -= 2
    is_cell = not parts[opening] or parts[opening].endswith((delimiter, b"\n", b"\r"))
    problem = "begins with a quote that is never closed" if is_cell else _STRAY_QUOTE_PROBLEM
    return len(b'"'.join(parts[: opening + 1])), problem


_STRAY_QUOTE_PROBLEM: Final = (
    'contains a quote in the middle: put the whole cell in quotes, and double the quotes within it ("5"" disk")'
)


@cache
def _byte_kind_table(delimiter: bytes) -> bytes:
    """Return a table that maps separators of cells to a comma, a quote to itself, and every other byte to an x."""
    return bytes(
        ord(",") if byte in delimiter + b"\r\n" else ord('"') if byte == ord('"') else ord("x") for byte in range(256)
    )


def _find_last_row_end(content: bytes) -> int:
    """Return the end of the last row that is complete; 0 if none is."""
    end = _find_last_line_end(content, len(content))
    n_quotes = content.count(b'"', 0, end)
    while end and n_quotes % 2:
        opening = content.rindex(b'"', 0, end)
        before = _find_last_line_end(content, opening)
        n_quotes -= content.count(b'"', before, end)
        end = before
    return end


def _find_last_line_end(content: bytes, end_offset: int) -> int:
    newline = content.rfind(b"\n", 0, end_offset)
    last = end_offset - 1 if end_offset == len(content) else end_offset  # a \n may follow a \r at the end
    return max(newline, content.rfind(b"\r", newline + 1, last)) + 1


def _unmask_offset(content: bytes, offset: int) -> int:
    """Convert an offset in `content` with each quoted part replaced by one byte to an offset in `content`."""
    shift = 0
    for pair in _QUOTED_PART.finditer(content):
        if pair.start() - shift > offset:
            break
        shift += len(pair[0]) - 1
    return min(offset + shift, len(content) - 1)
