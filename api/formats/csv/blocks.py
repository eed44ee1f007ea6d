"""Cuts CSV into blocks of whole rows, and finds rows, lines and cells in them.

Quotes must stand where RFC 4180 has them, around whole cells and doubled within. Then they come in pairs, and whether a
line's end is one of a row's follows from the number of quotes before it.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

BLOCK_BYTES: Final = 2**20
MAX_ROW_BYTES: Final = 2**23
_BOM: Final = b"\xef\xbb\xbf"
_PAIR: Final = re.compile(rb'"[^"]*"')
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_QUOTED: Final = b"\0"  # stands for a pair of quotes; a cell holds none


class Block(NamedTuple):
    """Some rows."""

    content: bytes
    first_line: int
    """The number of its first line in the whole body, from 1."""

    @property
    def n_lines(self) -> int:
        """The number of ended lines."""
        content = self.content
        if b"\r" not in content:
            return content.count(b"\n")
        return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")

    def row_lines(self) -> list[int]:
        """Return the number of the line at which each row begins."""
        masked = _PAIR.sub(lambda pair: b"x" + _QUOTED * len(_LINE_END.findall(pair[0])), self.content)
        lines, line = [], self.first_line
        for row in masked.splitlines():
            if row:
                lines.append(line)
            line += 1 + row.count(_QUOTED)
        return lines

    def locate(self, offset: int, delimiter: bytes) -> tuple[int, int, int]:
        """Return in which line, row of the block and cell a byte stands; lines from 1, rows and cells from 0."""
        before = self.content[:offset]
        line = self.first_line + len(_LINE_END.findall(before))
        masked = _PAIR.sub(_QUOTED, before).partition(b'"')[0]  # what follows is within a quoted cell
        *rows, last = (masked + b".").splitlines()
        return line, sum(1 for row in rows if row), last.count(delimiter)


def read_blocks(body: Any) -> Iterator[Block]:
    """Read a body to its end, without the mark of UTF-8 at its beginning.

    A block of more than `MAX_ROW_BYTES` has no end of a row, and is the last one.
    """
    pending, line, is_first = b"", 1, True
    while chunk := body.read(BLOCK_BYTES):
        pending += chunk
        if is_first and len(pending) >= len(_BOM):
            pending, is_first = pending.removeprefix(_BOM), False
        end = _end_of_rows(pending)
        if end:
            block = Block(pending[:end], line)
            pending = pending[end:]
            yield block
            line += block.n_lines
        if len(pending) > MAX_ROW_BYTES:
            break
    if pending:
        # pyarrow takes an empty cell at the very end for quoted if the one before it is.
        yield Block(pending if pending.endswith((b"\n", b"\r")) else pending + b"\n", line)


def find_invalid_byte(block: Block, delimiter: bytes) -> tuple[int, str] | None:
    """Find a byte that no CSV has there, and say what is wrong with it."""
    content = block.content
    if (nul := content.find(b"\0")) >= 0:
        return nul, "holds a NUL byte, which is not text"
    if b'"' not in content:
        return None
    parts = content.split(b'"')
    outside = b'"'.join(parts[::2])  # each pair of quotes, with what is within, is one quote
    kinds = outside.translate(_byte_kinds(delimiter))
    stray = min((at for at in (kinds.find(b'x"'), kinds.find(b'"x')) if at >= 0), default=-1)
    if stray >= 0:
        return _unmask_offset(content, stray), _STRAY
    if len(parts) % 2:
        return None
    opening = len(parts) - 2
    while opening and not parts[opening]:  # two quotes in a row are one within the cell
        opening -= 2
    is_cell = not parts[opening] or parts[opening].endswith((delimiter, b"\n", b"\r"))
    problem = "begins with a quote that is never closed" if is_cell else _STRAY
    return len(b'"'.join(parts[: opening + 1])), problem


_STRAY: Final = 'holds a quote in the middle: put the whole cell in quotes, and double those within ("5"" disk")'


@cache
def _byte_kinds(delimiter: bytes) -> bytes:
    """Map what separates cells to a comma, a quote to itself, and everything else to an x."""
    return bytes(
        ord(",") if byte in delimiter + b"\r\n" else ord('"') if byte == ord('"') else ord("x") for byte in range(256)
    )


def _end_of_rows(content: bytes) -> int:
    """Return where the last row ends that ends for sure; 0 if none does."""
    end = _last_line_end(content, len(content))
    n_quotes = content.count(b'"', 0, end)
    while end and n_quotes % 2:
        opening = content.rindex(b'"', 0, end)
        before = _last_line_end(content, opening)
        n_quotes -= content.count(b'"', before, end)
        end = before
    return end


def _last_line_end(content: bytes, before: int) -> int:
    newline = content.rfind(b"\n", 0, before)
    last = before - 1 if before == len(content) else before  # what follows the last byte may be the \n of its \r
    return max(newline, content.rfind(b"\r", newline + 1, last)) + 1


def _unmask_offset(content: bytes, offset: int) -> int:
    """Return where the byte stands that follows so many others once each pair of quotes is one byte."""
    shift = 0
    for pair in _PAIR.finditer(content):
        if pair.start() - shift > offset:
            break
        shift += len(pair[0]) - 1
    return min(offset + shift, len(content) - 1)
