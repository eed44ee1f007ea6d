"""Writes the results as Markdown."""

from benchmarks.serving.markdown import format_machine, table
from tests.chaos.bulk.verdict import BulkVerdict
from tests.chaos.results import FaultResult, Results

_INTRODUCTION = """\
# The chaos run: the results

`make chaos` writes this page and `chaos.json`, which contains every recovery time.
[Chaos](../chaos.md) describes the faults, the method and the columns.

{machine}. Sepal at commit `{commit}`, {date}. {settings}.
"""

_BULK_HEADER = [
    "fault",
    "bulk predictions",
    "uploads refused first",
    "succeeded",
    "never accepted",
    "lost",
    "wrong",
    "left over",
    "recovery: median",
    "max",
    "bar",
]
_HEADER = [
    "fault",
    "injections",
    "accepted",
    "refused",
    "no response",
    "succeeded",
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
    tables = [write_table(results), "", *_bulk_section(results), *_code_section(results), *_missed_section(results)]
    return "\n".join([introduction, *tables])


def write_table(results: Results) -> str:
    """Write one line for each fault, and their sum."""
    return table(_HEADER, [*map(_table_line, results.faults), _sum_line(results)])


def write_bulk_table(results: Results) -> str:
    """Write one line for each fault in the middle of bulk predictions."""
    return table(_BULK_HEADER, [_bulk_line(result, result.bulk) for result in results.faults if result.bulk])


def _bulk_section(results: Results) -> list[str]:
    if not any(result.bulk for result in results.faults):
        return []
    return ["Bulk predictions, which ran during the traffic of the table above:", "", write_bulk_table(results), ""]


def _bulk_line(result: FaultResult, bulk: BulkVerdict) -> list[str]:
    n_refused = sum(bulk.refusals.values())
    counts = [bulk.uploads, n_refused, bulk.succeeded, bulk.never_accepted, bulk.lost, bulk.wrong, bulk.left]
    times = ["never" if time is None else f"{time:.1f} s" for time in (bulk.median, bulk.slowest)]
    return [result.title, *(f"{count:,}" for count in counts), *times, f"< {result.bulk_bar_seconds:.0f} s"]


def _table_line(result: FaultResult) -> list[str]:
    verdict = result.verdict
    counts = [result.injections, verdict.accepted, verdict.refused, verdict.unknown, verdict.answered, verdict.failed]
    violations = [verdict.lost, result.committed_twice, verdict.changed, verdict.wrong, result.backlog]
    bar = "–" if result.bar_seconds is None else f"< {result.bar_seconds:.0f} s"
    times = [_format_seconds(result, result.median), _format_seconds(result, result.slowest), bar]
    return [result.title, *(f"{count:,}" for count in [*counts, *violations]), *times]


def _sum_line(results: Results) -> list[str]:
    lines = [_table_line(result)[1:12] for result in results.faults]
    sums = [sum(int(cell.replace(",", "")) for cell in column) for column in zip(*lines, strict=True)]
    return ["**all**", *(f"{count:,}" for count in sums), "", "", ""]


def _format_seconds(result: FaultResult, seconds: float | None) -> str:
    if not result.recoveries:
        return "–"
    return "never" if seconds is None else f"{seconds:.2f} s"


def _code_section(results: Results) -> list[str]:
    lines = []
    for result in results.faults:
        if result.verdict.codes:
            lines.append(f"- {result.title}: {_format_counts(result.verdict.codes)}")
        if result.bulk is not None and (result.bulk.refusals or result.bulk.states):
            codes = result.bulk.refusals | result.bulk.states
            lines.append(f"- {result.title}, bulk predictions: {_format_counts(codes)}")
    return ["Refusals and failures by code:", "", *lines, ""] if lines else []


def _format_counts(codes: dict[str, int]) -> str:
    return ", ".join(f"`{code}` {count:,}" for code, count in codes.items())


def _missed_section(results: Results) -> list[str]:
    missed = results.missed()
    if not missed:
        return ["Every bar is met.", ""]
    return ["Missed bars:", "", *(f"- {bar}" for bar in missed), ""]
