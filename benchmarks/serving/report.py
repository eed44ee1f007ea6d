"""The results of a scenario as Markdown: targets, an overview, one table for each figure and number of rows."""

from collections.abc import Callable, Sequence

from benchmarks.serving.markdown import format_machine, format_number, format_spread, table
from benchmarks.serving.results import Results, SystemDescription
from benchmarks.serving.scenarios import Scenario
from benchmarks.serving.summary import BASELINE, CPU, FIGURES, P50, THROUGHPUT, Figure, Summary

_INTRODUCTION = """\
{about}

Written by `make bench`. `{file}` contains the figures of every round; the [method](serving.md)
is described on its own page.

{machine}. {plan}. Sepal at commit `{commit}`.

Each figure is the median of the rounds, with the lowest and the highest in brackets. The number after × is the ratio to
the in-process service: the median of the ratios within each round.
"""

_SHORT_NAMES = {P50: "p50, ms,", THROUGHPUT: "requests/s", CPU: "CPU s per 1,000"}


def write_report(results: Results, scenario: Scenario) -> str:
    """Return the page of a complete or an interrupted run of a scenario."""
    summary = Summary(results)
    introduction = _INTRODUCTION.format(
        about=scenario.about,
        file=scenario.json_file,
        machine=format_machine(results.machine),
        plan=_plan_text(results),
        commit=results.commit,
    )
    parts = [f"# Serving {scenario.title}, side by side: the results", introduction.rstrip()]
    if scenario.chart_file:
        parts.append(f"![Throughput and latency by connections]({scenario.chart_file})")
    parts += [
        *_target_section(summary, scenario),
        *_overview_section(summary),
        "## Systems",
        _system_table(results.systems),
    ]
    for rows in results.plan.rows:
        parts.append(f"## {rows} {'row' if rows == 1 else 'rows'} per request")
        for figure in FIGURES:
            parts += [f"### {figure.title}", _figure_table(summary, figure, rows)]
        parts += [
            "### Errors",
            "Failed and all requests, over all rounds.",
            _error_table(summary, rows),
        ]
    parts += [*_ledger_section(results), *_failure_section(results)]
    return "\n\n".join(parts) + "\n"


def _plan_text(results: Results) -> str:
    plan = results.plan
    return (
        f"{plan.rounds} interleaved rounds, {plan.seconds} s per cell after {plan.warm_up_seconds} s of warm-up, "
        f"{plan.load_generator}"
    )


def _target_section(summary: Summary, scenario: Scenario) -> list[str]:
    lines = []
    for target in scenario.targets:
        figure, connections = target.figure, target.connections
        own = summary.spread(figure, "sepal", connections, 1)
        base = summary.spread(figure, BASELINE, connections, 1)
        ratio = summary.ratio(figure, "sepal", connections, 1)
        if own and base and ratio:
            shown = [format_spread(own, figure.digits), format_spread(base, figure.digits), f"×{format_spread(ratio)}"]
            lines.append([f"{figure.title}, at {_format_connections(connections)}", *shown, str(target)])
    header = ["single rows", "Sepal", "FastAPI, in process", "ratio, all rounds", "target"]
    return ["## Sepal and the in-process service", table(header, lines)] if lines else []


def _overview_section(summary: Summary) -> list[str]:
    """Return a table of the throughput and CPU time of single rows, and the latency at one connection."""
    counts = summary.results.plan.connections
    columns = [(figure, connections) for connections in counts for figure in (THROUGHPUT, CPU)]
    if 1 in counts:
        columns.insert(0, (P50, 1))
    header = ["system", *(f"{_SHORT_NAMES[figure]} at {connections}" for figure, connections in columns)]
    lines = [
        [system.title, *(_format_cell(summary, figure, system.name, connections, 1) for figure, connections in columns)]
        for system in summary.results.systems
    ]
    return ["## Overview", "Single rows, by number of connections.", table(header, lines)]


def _system_table(systems: Sequence[SystemDescription]) -> str:
    rows = []
    for system in systems:
        versions = ", ".join(f"{name} {number}" for name, number in system.versions.items())
        settings = ", ".join(f"`{name}={value}`" for name, value in system.settings.items())
        rows.append([system.title, f"{versions}; {settings}" if settings else versions])
    return table(["system", "versions"], rows)


def _figure_table(summary: Summary, figure: Figure, rows: int) -> str:
    return _connections_table(
        summary, lambda system, connections: _format_cell(summary, figure, system, connections, rows)
    )


def _format_cell(summary: Summary, figure: Figure, system: str, connections: int, rows: int) -> str:
    spread = summary.spread(figure, system, connections, rows)
    if spread is None:
        return "–"
    ratio = summary.ratio(figure, system, connections, rows)
    shown = "" if ratio is None or system == BASELINE else f" ×{format_number(ratio.median)}"
    return f"{format_spread(spread, figure.digits)}{shown}"


def _error_table(summary: Summary, rows: int) -> str:
    def format_cell(system: str, connections: int) -> str:
        counted = summary.errors(system, connections, rows)
        return "–" if counted is None else f"{counted[0]:,} of {counted[1]:,}"

    return _connections_table(summary, format_cell)


def _connections_table(summary: Summary, format_cell: Callable[[str, int], str]) -> str:
    results = summary.results
    header = ["connections", *(str(connections) for connections in results.plan.connections)]
    lines = []
    for system in results.systems:
        title = f"**{system.title}**" if system.name == "sepal" else system.title
        if reason := summary.absence_reason(system.name):
            blanks = [""] * (len(header) - 2)
            lines.append([title, _escape(reason), *blanks])
        else:
            lines.append([title, *(format_cell(system.name, connections) for connections in results.plan.connections)])
    return table(header, lines)


def _ledger_section(results: Results) -> list[str]:
    if not results.ledgers:
        return []
    lines = [
        [str(ledger.round + 1), f"{ledger.accepted:,}", f"{ledger.final:,}", f"{ledger.answered:,}", f"{ledger.lost:,}"]
        for ledger in results.ledgers
    ]
    text = "Sepal's counters when it was idle after each round, and the rows that the load generator received."
    return ["## Lost rows", text, table(["round", "rows accepted", "final", "received", "lost"], lines)]


def _failure_section(results: Results) -> list[str]:
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


def _format_connections(count: int) -> str:
    return f"{count} {'connection' if count == 1 else 'connections'}"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
