"""The results as Markdown: one table for each figure and number of rows."""

from collections.abc import Callable, Sequence

from benchmarks.serving.markdown import format_machine, format_number, format_spread, table
from benchmarks.serving.results import Described, Results
from benchmarks.serving.summary import BASELINE, FIGURES, Figure, Summary

_INTRODUCTION = """\
Written by `make bench`. `serving.json` has the figures of every round; [the method](serving.md) explains them.

{machine}. {plan}. Sepal at commit `{commit}`.

Each figure is the median of the rounds, with the lowest and the highest in brackets, and its ratio to the in-process
service: the median of the ratios within each round.

![Throughput and latency by connections]({chart})
"""


def write_report(results: Results, chart: str) -> str:
    """Return the page.

    Args:
        results: of a complete or an interrupted run.
        chart: the file name of the chart, in the page's folder.
    """
    summary = Summary(results)
    introduction = _INTRODUCTION.format(
        machine=format_machine(results.machine), plan=_plan(results), commit=results.commit, chart=chart
    )
    parts = ["# Serving, side by side: the results", introduction.rstrip(), _systems(results.systems)]
    for rows in results.plan.rows:
        parts.append(f"## {rows} {'row' if rows == 1 else 'rows'} per request")
        for figure in FIGURES:
            parts += [f"### {figure.title}", _figure_table(summary, figure, rows)]
        parts += ["### Errors", "Failed requests of all requests, over all rounds.", _error_table(summary, rows)]
    parts += [*_ledgers(results), *_failures(results)]
    return "\n\n".join(parts) + "\n"


def _plan(results: Results) -> str:
    plan = results.plan
    return (
        f"{plan.rounds} interleaved rounds, {plan.seconds} s per cell after {plan.warm_up_seconds} s of warm-up, "
        f"{plan.load_generator}"
    )


def _systems(systems: Sequence[Described]) -> str:
    rows = []
    for system in systems:
        versions = ", ".join(f"{name} {number}" for name, number in system.versions.items())
        settings = ", ".join(f"`{name}={value}`" for name, value in system.settings.items())
        rows.append([system.title, f"{versions}; {settings}" if settings else versions])
    return table(["system", "versions"], rows)


def _figure_table(summary: Summary, figure: Figure, rows: int) -> str:
    def cell(system: str, connections: int) -> str:
        spread = summary.spread(figure, system, connections, rows)
        if spread is None:
            return "–"
        ratio = summary.ratio(figure, system, connections, rows)
        shown = "" if ratio is None or system == BASELINE else f" ×{format_number(ratio)}"
        return f"{format_spread(spread, figure.digits)}{shown}"

    return _by_connections(summary, cell)


def _error_table(summary: Summary, rows: int) -> str:
    def cell(system: str, connections: int) -> str:
        counted = summary.errors(system, connections, rows)
        return "–" if counted is None else f"{counted[0]:,} of {counted[1]:,}"

    return _by_connections(summary, cell)


def _by_connections(summary: Summary, cell: Callable[[str, int], str]) -> str:
    results = summary.results
    header = ["connections", *(str(connections) for connections in results.plan.connections)]
    lines = []
    for system in results.systems:
        title = f"**{system.title}**" if system.name == "sepal" else system.title
        if reason := summary.absence_reason(system.name):
            blanks = [""] * (len(header) - 2)
            lines.append([title, _escape(reason), *blanks])
        else:
            lines.append([title, *(cell(system.name, connections) for connections in results.plan.connections)])
    return table(header, lines)


def _ledgers(results: Results) -> list[str]:
    if not results.ledgers:
        return []
    lines = [
        [str(ledger.round + 1), f"{ledger.accepted:,}", f"{ledger.final:,}", f"{ledger.answered:,}", f"{ledger.lost:,}"]
        for ledger in results.ledgers
    ]
    text = "Sepal's counters after each round, when it was idle, and the rows that the load generator received."
    return ["## Lost rows", text, table(["round", "rows accepted", "final", "received", "lost"], lines)]


def _failures(results: Results) -> list[str]:
    if not results.failures:
        return []
    parts = ["## Failures"]
    for failure in results.failures:
        event = "failed" if failure.started else "did not start"
        parts += [
            f"**{failure.system}** {event} in round {failure.round + 1}, at {failure.where}:",
            f"```\n{failure.reason.strip()}\n```",
        ]
    return parts


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
