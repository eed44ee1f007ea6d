"""Writes the results as Markdown."""

from benchmarks.serving.markdown import format_machine, table
from tests.chaos.results import FaultResult, Results

_INTRODUCTION = """\
# The chaos run: the results

`make chaos` writes this page and `chaos.json`, which lists every recovery. [Chaos](../chaos.md) describes the faults,
the method and the columns.

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
    """Write the page: the settings, the table, the codes and the missed bars."""
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    introduction = _INTRODUCTION.format(
        machine=format_machine(results.machine), commit=results.commit, date=results.date, settings=settings
    )
    return "\n".join([introduction, write_table(results), "", *_codes(results), *_misses(results)])


def write_table(results: Results) -> str:
    """Write one line for each fault, and their sum."""
    return table(_HEADER, [*map(_line, results.faults), _sums(results)])


def _line(result: FaultResult) -> list[str]:
    verdict = result.verdict
    counts = [result.injections, verdict.accepted, verdict.refused, verdict.unknown, verdict.answered, verdict.failed]
    violations = [verdict.lost, result.committed_twice, verdict.changed, verdict.wrong, result.backlog]
    bar = "–" if result.bar_seconds is None else f"< {result.bar_seconds:.0f} s"
    times = [_seconds(result, result.median), _seconds(result, result.slowest), bar]
    return [result.title, *(f"{count:,}" for count in [*counts, *violations]), *times]


def _sums(results: Results) -> list[str]:
    lines = [_line(result)[1:12] for result in results.faults]
    sums = [sum(int(cell.replace(",", "")) for cell in column) for column in zip(*lines, strict=True)]
    return ["**all**", *(f"{count:,}" for count in sums), "", "", ""]


def _seconds(result: FaultResult, seconds: float | None) -> str:
    if not result.recoveries:
        return "–"
    return "never" if seconds is None else f"{seconds:.2f} s"


def _codes(results: Results) -> list[str]:
    lines = []
    for result in results.faults:
        if result.verdict.codes:
            codes = ", ".join(f"`{code}` {count:,}" for code, count in result.verdict.codes.items())
            lines.append(f"- {result.title}: {codes}")
    return ["Refusals and failures by code:", "", *lines, ""] if lines else []


def _misses(results: Results) -> list[str]:
    missed = results.missed()
    if not missed:
        return ["Every bar is met.", ""]
    return ["Missed bars:", "", *(f"- {bar}" for bar in missed), ""]
