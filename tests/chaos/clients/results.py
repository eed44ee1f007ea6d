"""The results of the faults between clients and gateways, their bars, and their page."""

from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.serving.markdown import format_machine, table
from tests.chaos.clients.judge import BARS, ClientVerdict

JSON_FILE: Final = "chaos-clients.json"
PAGE_FILE: Final = "chaos-clients.md"
_INTRODUCTION: Final = """\
# Faults between clients and gateways: the results

`make chaos` writes this page and `{json_file}`. [Chaos](../chaos.md#faults-between-clients-and-gateways)
describes the faults, the method and the columns.

{machine}. Sepal at commit `{commit}`, {date}. Seed {seed}.
"""
_COUNTS: Final = ("injections", "struck", "right", "errors", *BARS)


class ClientResult(msgspec.Struct):
    """The result of one fault: one line of the table."""

    fault: str
    title: str
    verdict: ClientVerdict
    seconds: float

    def describe(self) -> str:
        """Return a summary for the terminal, with examples of violations."""
        counts = ", ".join(f"{getattr(self.verdict, name)} {name.replace('_', ' ')}" for name in _COUNTS)
        return "\n    ".join([f"  {counts}; {self.seconds:.0f} s", *self.verdict.examples])


class ClientResults(msgspec.Struct):
    """The results of all faults between clients and gateways."""

    commit: str
    date: str
    machine: dict[str, str]
    seed: int
    faults: list[ClientResult] = msgspec.field(default_factory=list)

    def missed(self) -> list[str]:
        """Describe the bars that the run misses."""
        return [f"{result.fault}: {bar}" for result in self.faults for bar in result.verdict.missed()]

    def write(self, folder: Path) -> None:
        """Write the results so far as JSON and as a page."""
        (folder / JSON_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        (folder / PAGE_FILE).write_text(self.page())

    def table(self) -> str:
        """Write one line for each fault, and their sum."""
        lines = [[getattr(result.verdict, name) for name in _COUNTS] for result in self.faults]
        sums = [sum(column) for column in zip(*lines, strict=True)]
        titles = [*(result.title for result in self.faults), "**all**"]
        cells = [[title, *(f"{count:,}" for count in line)] for title, line in zip(titles, [*lines, sums], strict=True)]
        return table(["fault", *(name.replace("_", " ") for name in _COUNTS)], cells)

    def page(self) -> str:
        """Write the page: the table, the errors and the missed bars."""
        settings: dict[str, Any] = {"commit": self.commit, "date": self.date, "seed": self.seed}
        introduction = _INTRODUCTION.format(json_file=JSON_FILE, machine=format_machine(self.machine), **settings)
        missed = [f"- {bar}" for bar in self.missed()]
        bars = ["Missed bars:", "", *missed] if missed else ["Every bar is met."]
        return "\n".join([introduction, self.table(), "", *self._errors(), *bars, ""])

    def _errors(self) -> list[str]:
        lines = []
        for result in self.faults:
            if codes := result.verdict.codes:
                counted = ", ".join(f"`{code}` {count}" for code, count in codes.items())
                lines.append(f"- {result.title}: {counted}")
        return ["Errors of injections that hit every request:", "", *lines, ""] if lines else []
