"""The results as Markdown."""

from benchmarks.serving.markdown import format_machine, table
from tests.chaos.results import Results, Row

_INTRODUCTION = """\
# The chaos run: the results

Written by `make chaos`; `chaos.json` beside it has every recovery, and [the method](../chaos.md) says what is done and
what is counted.

{machine}. Sepal at commit `{commit}`, {date}. {settings}.
"""

_HEADER = [
    "fault",
    "injections",
    "accepted",
    "refused",
    "no answer",
    "answered",
    "failed",
    "lost",
    "committed twice",
    "changed",
    "wrong",
    "left over",
    "recovery: median",
    "max",
    "bar",
]


def write_page(results: Results) -> str:
    """Write the whole page."""
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    introduction = _INTRODUCTION.format(
        machine=format_machine(results.machine), commit=results.commit, date=results.date, settings=settings
    )
    return "\n".join([introduction, write_table(results), "", *_codes(results), *_misses(results)])


def write_table(results: Results) -> str:
    """Write a line a fault, and the sum of all."""
    return table(_HEADER, [*map(_line, results.rows), _sums(results)])


def _line(row: Row) -> list[str]:
    verdict = row.verdict
    counts = [row.injections, verdict.accepted, verdict.refused, verdict.unknown, verdict.answered, verdict.failed]
    faults = [verdict.lost, row.committed_twice, verdict.changed, verdict.wrong, row.backlog]
    bar = "–" if row.bar_seconds is None else f"< {row.bar_seconds:.0f} s"
    times = [_seconds(row, row.median), _seconds(row, row.slowest), bar]
    return [row.title, *(f"{count:,}" for count in [*counts, *faults]), *times]


def _sums(results: Results) -> list[str]:
    lines = [_line(row)[1:12] for row in results.rows]
    sums = [sum(int(cell.replace(",", "")) for cell in column) for column in zip(*lines, strict=True)]
    return ["**all**", *(f"{count:,}" for count in sums), "", "", ""]


def _seconds(row: Row, seconds: float | None) -> str:
    if not row.recoveries:
        return "–"
    return "never" if seconds is None else f"{seconds:.2f} s"


def _codes(results: Results) -> list[str]:
    lines = []
    for row in results.rows:
        if row.verdict.codes:
            codes = ", ".join(f"`{code}` {count:,}" for code, count in row.verdict.codes.items())
            lines.append(f"- {row.title}: {codes}")
    return ["Refusals and failures by their codes:", "", *lines, ""] if lines else []


def _misses(results: Results) -> list[str]:
    missed = results.missed()
    if not missed:
        return ["Every bar is met.", ""]
    return ["Bars that are missed:", "", *(f"- {what}" for what in missed), ""]
