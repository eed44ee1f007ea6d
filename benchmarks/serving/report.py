"""The results as Markdown: one table for each figure and each number of rows."""

from collections.abc import Callable, Sequence

from benchmarks.serving.markdown import format_machine, format_number, format_spread, table
from benchmarks.serving.results import Described, Results
from benchmarks.serving.summary import BASELINE, FIGURES, Figure, Summary

_INTRODUCTION = """\
Written by `make bench`; `serving.json` beside it has every round's figures, and [the method](serving.md) says what
they mean.

{machine}. {plan}. Sepal at commit `{commit}`.

Each figure is the median of the rounds, with the lowest and the highest of them in brackets, and then its ratio to the
in-process service: the median of the rounds' own ratios.

![Throughput and latency against connections]({picture})
"""


def write_report(results: Results, picture: str) -> str:
    """Write the whole page.

    Args:
        results: at least the systems that were to be measured.
        picture: the file beside the page that shows them.
    """
    summary = Summary(results)
    introduction = _INTRODUCTION.format(
        machine=format_machine(results.machine), plan=_plan(results), commit=results.commit, picture=picture
    )
    parts = ["# Serving, side by side: the results", introduction.rstrip(), _systems(results.systems)]
    for rows in results.plan.rows:
        parts.append(f"## {rows} {'row' if rows == 1 else 'rows'} a request")
        for figure in FIGURES:
            parts += [f"### {figure.title}", _figure_table(summary, figure, rows)]
        parts += ["### Errors", "Of all requests, over all rounds.", _error_table(summary, rows)]
    parts += [*_ledgers(results), *_failures(results)]
    return "\n\n".join(parts) + "\n"


def _plan(results: Results) -> str:
    plan = results.plan
    return (
        f"{plan.rounds} interleaved rounds, {plan.seconds} s a cell after {plan.warm_up_seconds} s of warming up, "
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
        if reason := summary.why_absent(system.name):
            blanks = [""] * (len(header) - 2)
            lines.append([title, _plain(reason), *blanks])
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
    text = "Sepal's own counters after each round, once it was idle, against what the load generator has received."
    return ["## Nothing lost", text, table(["round", "rows accepted", "final", "answered", "lost"], lines)]


def _failures(results: Results) -> list[str]:
    if not results.failures:
        return []
    parts = ["## What failed"]
    for failure in results.failures:
        what = "failed" if failure.started else "did not start"
        parts += [
            f"**{failure.system}** {what} in round {failure.round + 1}, at {failure.where}:",
            f"```\n{failure.reason.strip()}\n```",
        ]
    return parts


def _plain(text: str) -> str:
    return text.replace("|", "\\|")
