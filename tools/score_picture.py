"""Draws docs/score.svg: a recording of `sepal score` with 1,000,000 penguins in a terminal, at its original speed.

make run MODEL=penguins           # in another terminal
python -m tools.score_picture     # uses SEPAL_URL, or http://127.0.0.1:8000

The script runs the command in a pseudo-terminal and records each change of its progress line. Viewers without animation
show one moment of the scoring.
"""

import os
import pty
import re
import sys
import tempfile
import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from palmerpenguins import load_penguins
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

_PATH: Final = Path(__file__).parent.parent / "docs" / "score.svg"
_N_ROWS: Final = 1_000_000
_COMMAND_ARGUMENTS: Final = ("score", "penguins.csv", "--carry", "id", "-o", "scored.parquet")
_TERMINAL_COLUMNS: Final = 90
_N_MOMENTS: Final = 16
_LAST_SECONDS: Final = 3.0  # how long the last line is shown
_NEW_LINE: Final = re.compile(r"\r?\x1b\[2K|\r\n")  # rich erases the line and writes it again
_OTHER_CONTROLS: Final = re.compile(r"\x1b\[(?:\?25[hl]|1A)|\r|\n")
_CELL_WIDTH, _LINE_HEIGHT, _MARGIN = 8.4, 24, 16  # pixels
_SVG_TEMPLATE: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}
.moment {{ visibility: hidden }}
.still {{ visibility: visible }}
@media (prefers-reduced-motion: no-preference) {{
.moment {{ animation: moment {total:.2f}s step-end infinite }}
.end {{ animation-name: end }}
}}
@keyframes moment {{ 0% {{ visibility: visible }} {moment:.3f}% {{ visibility: hidden }} }}
@keyframes end {{ 0% {{ visibility: visible }} {end:.3f}% {{ visibility: hidden }} }}
</style>
<rect width="100%" height="100%" rx="8" fill="{background}"/>
{lines}
</svg>
"""


class Moment(NamedTuple):
    """The terminal's line from a moment on."""

    seconds: float
    text: str


def main() -> None:
    """Run the command, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        penguins = load_penguins().drop(columns="species").sample(_N_ROWS, replace=True, random_state=0)
        penguins.insert(0, "id", [f"{number:07d}" for number in range(_N_ROWS)])
        penguins.to_csv(Path(folder, "penguins.csv"), index=False)
        os.chdir(folder)
        moments = _record_moments()
    _PATH.write_text(_draw_picture(moments))
    print(f"wrote {_PATH} ({_PATH.stat().st_size} bytes)")


def _record_moments() -> list[Moment]:
    """Run the command in a pseudo-terminal; return its output line at each moment."""
    began, shown, moments = time.monotonic(), "", [Moment(0.0, "")]
    decoder = getincrementaldecoder("utf-8")("replace")

    def read(master: int) -> bytes:
        nonlocal shown
        found = os.read(master, 65_536)
        shown += decoder.decode(found)
        line = _OTHER_CONTROLS.sub("", _NEW_LINE.split(shown.rstrip("\r\n"))[-1])
        if line.strip():
            moments.append(Moment(time.monotonic() - began, line))
        return found

    os.environ |= {"COLUMNS": str(_TERMINAL_COLUMNS), "TERM": "xterm-256color"}
    code = pty.spawn([sys.executable, "-m", "sepal_client", *_COMMAND_ARGUMENTS], read)
    if code:
        sys.exit(f"sepal score ended with {os.waitstatus_to_exitcode(code)}: is `make run MODEL=penguins` going?")
    return moments


def _draw_picture(moments: Sequence[Moment]) -> str:
    *_, end = moments
    slot = end.seconds / _N_MOMENTS
    shown = [[each for each in moments if each.seconds <= slot * number][-1].text for number in range(1, _N_MOMENTS)]
    total = slot * len(shown) + _LAST_SECONDS
    scoring = [number for number, text in enumerate(shown) if "Scoring" in text]
    lines = [_draw_line(0, "", Text.assemble(("$ ", "green"), "sepal ", " ".join(_COMMAND_ARGUMENTS)))]
    for number, text in enumerate(shown):
        kind = "moment still" if number == scoring[len(scoring) // 2] else "moment"
        lines.append(
            _draw_line(1, f'class="{kind}" style="animation-delay: {slot * number - total:.2f}s"', Text.from_ansi(text))
        )
    lines.append(
        _draw_line(1, f'class="moment end" style="animation-delay: {-_LAST_SECONDS}s"', Text.from_ansi(end.text))
    )
    return _SVG_TEMPLATE.format(
        width=round(_TERMINAL_COLUMNS * _CELL_WIDTH + 2 * _MARGIN),
        height=2 * _LINE_HEIGHT + 2 * _MARGIN,
        label=escape(f"sepal {' '.join(_COMMAND_ARGUMENTS)}: a bar that shows the upload, the rows and the download"),
        total=total,
        moment=100 * slot / total,
        end=100 * _LAST_SECONDS / total,
        background=SVG_EXPORT_THEME.background_color.hex,
        lines="\n".join(lines),
    )


def _draw_line(number: int, attributes: str, text: Text) -> str:
    """Return the SVG element of a line of text, with its colors."""
    y = _MARGIN + _LINE_HEIGHT * number + 16
    width = f'textLength="{text.cell_len * _CELL_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
    pieces = [(_svg_attributes(style), piece) for piece, style, _ in text.render(Console(width=1000), end="")]
    runs = [
        f"<tspan {style}>{escape(''.join(piece for _, piece in same))}</tspan>"
        for style, same in groupby(pieces, lambda each: each[0])
    ]
    return f'<text x="{_MARGIN}" y="{y}" {width} {attributes}>{"".join(runs)}</text>'


def _svg_attributes(style: Style | None) -> str:
    color = None if style is None else style.color
    shown = SVG_EXPORT_THEME.foreground_color if color is None else color.get_truecolor(SVG_EXPORT_THEME)
    return f'fill="{shown.hex}"' + (' font-weight="bold"' if style is not None and style.bold else "")


if __name__ == "__main__":
    main()
