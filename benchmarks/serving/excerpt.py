"""The selection of figures from `make bench` that the README shows."""

from pathlib import Path

from benchmarks.serving.markdown import format_machine, format_number, table
from benchmarks.serving.results import Results
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.summary import BASELINE, CPU, P50, THROUGHPUT, Figure, Summary

_COLUMNS: tuple[tuple[str, Figure, int], ...] = (
    ("p50 at 1 connection, ms", P50, 1),
    ("CPU s per 1,000 at 1", CPU, 1),
    ("requests/s at 32", THROUGHPUT, 32),
    ("at 128", THROUGHPUT, 128),
    ("CPU s per 1,000 at 128", CPU, 128),
)


def write_excerpts(folder: Path) -> str:
    """Return a table for each scenario that has results and a chart, the most typical pipeline first."""
    parts = []
    for scenario in SCENARIOS.values():
        if scenario.chart_file and (folder / scenario.json_file).exists():
            excerpt = write_excerpt(Results.read(folder / scenario.json_file))
            parts.append(f"**{scenario.title.capitalize()}**: {scenario.about}\n\n{excerpt}")
    return "\n\n".join(parts)


def write_excerpt(results: Results) -> str:
    """Return a table of medians for single rows, with the ratios to the in-process service in brackets."""
    summary = Summary(results)
    header = ["system", *(title for title, _, _ in _COLUMNS)]
    rows = []
    for system in results.systems:
        reason = summary.absence_reason(system.name)
        figures = [_format_cell(summary, figure, system.name, connections) for _, figure, connections in _COLUMNS]
        rows.append([f"{system.title} ({reason})" if reason else system.title, *figures])
    return f"{table(header, rows)}\n\n{format_machine(results.machine)}; {results.plan.rounds} interleaved rounds."


def _format_cell(summary: Summary, figure: Figure, system: str, connections: int) -> str:
    spread = summary.spread(figure, system, connections, 1)
    if spread is None:
        return "–"
    ratio = summary.ratio(figure, system, connections, 1)
    shown = "" if ratio is None or system == BASELINE else f" (×{format_number(ratio.median)})"
    return f"{format_number(spread.median, figure.digits)}{shown}"
