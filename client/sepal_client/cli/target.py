"""The output target of a result: a file, whose suffix selects the format, or standard output."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from sepal_client.errors import InvalidInput

STANDARD_STREAM: Final = "-"
"""The argument for standard input or output."""
_DEFAULT_FORMAT: Final = "csv"

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to this file. [default: standard output]"),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="The format of the result: csv, ndjson, json, arrow or parquet. [default: by the suffix of -o, or csv]",
    ),
]


@dataclass(frozen=True)
class Target:
    """A file or standard output, with the format of the result."""

    path: Path | None
    """None: standard output."""
    format: str
    to: str | None
    """The value of `--to`."""

    @property
    def destination(self) -> "Path | BinaryIO":
        """The path or file object to pass to `Prediction.download`."""
        return sys.stdout.buffer if self.path is None else self.path

    @property
    def is_terminal(self) -> bool:
        """Whether the result is printed on a terminal."""
        return self.path is None and sys.stdout.isatty()

    def resume_arguments(self, prediction_id: str) -> list[str]:
        """Return the arguments of the `sepal` command that fetches the result later."""
        path = [] if self.path is None else ["-o", str(self.path)]
        return ["results", prediction_id, *path, *([] if self.to is None else ["--to", self.to])]

    def __str__(self) -> str:
        return "standard output" if self.path is None else str(self.path)


def output_target(output: str | None, format_name: str | None) -> Target:
    """Return the output target that the options specify.

    Raises:
        InvalidInput: the file cannot be written, or results are not available in the format.
    """
    from sepal_client import formats

    if output is None or output == STANDARD_STREAM:
        name = format_name or _DEFAULT_FORMAT
        if formats.result_format(None, name).is_binary and sys.stdout.isatty():
            raise InvalidInput(f"A terminal cannot show {name}: give a file with -o, or redirect standard output.")
        return Target(None, name, format_name)
    path = Path(output)
    found = formats.result_format(path, format_name)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"{path} cannot be written: {_unwritable_reason(path)}.")
    return Target(path, found.name, format_name)


def _unwritable_reason(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    return "its folder is not writable" if path.parent.is_dir() else "its folder does not exist"
