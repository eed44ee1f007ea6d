"""A shell that runs the commands of the documentation block by block, as a reader pastes them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

_HEADING_OR_BLOCK: Final = re.compile(r"(?ms)^```(?P<language>\w*)\n(?P<block>.*?)^```$|^#+ (?P<heading>.*?)$")
_END: Final = "--- end of block, status "


class Shell:
    """A running bash, whose variables last from one block to the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._errors = (folder / "shell.err").open("w+")
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("exit\n")
        self._errors.close()

    def run(self, block: str) -> str:
        """Run a block and return what it printed; fail if its last command does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{block}\nprintf "\\n{_END}%d\\n" $?\n')
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            if line.startswith(_END):
                assert line == f"{_END}0\n", (block, printed, self._read_errors())
                return printed.removesuffix("\n")
            printed += line
        raise AssertionError(f"the shell ended: {block}")

    def _read_errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def blocks(page: Path, language: str) -> dict[str, list[str]]:
    """Return the blocks of a page in a language, by the heading above them."""
    found, heading = dict[str, list[str]](), ""
    for match in _HEADING_OR_BLOCK.finditer(page.read_text()):
        heading = match["heading"] or heading
        if match["language"] == language:
            found.setdefault(heading, []).append(match["block"])
    return found
