"""The results as Markdown: for each part a table and a sentence that compares its smallest and largest size."""

import statistics
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from benchmarks.growth.results import ArtifactFigures, BatchFigures, GrowthResults, WaitingFigures
from benchmarks.serving.markdown import format_machine, format_number, format_spread, table
from benchmarks.serving.results import Results as Serving
from benchmarks.serving.summary import FIGURES, Spread, Summary

Figure = TypeVar("Figure", BatchFigures, WaitingFigures, ArtifactFigures)

_INTRODUCTION = """\
# How cost grows: the results

Written by `make bench-growth`. `growth.json` contains the figures of every round; the
[method](growth.md) is described on its own page.

{machine}. Sepal at commit `{commit}`, with {versions}.

Each figure is the median of the rounds; the lowest and the highest are in brackets."""
_NOT_MEASURED_TEXT: Final = "Not measured in this run."
_NO_VALUE: Final = "–"
_THROUGHPUT, _P50, _, _P99, _CPU, _ = FIGURES


def write_report(results: GrowthResults) -> str:
    """Return the page; it names the parts that were not measured."""
    versions = [f"{name} {number}" for name, number in results.versions.items()]
    versions += [f"`{name}={value}`" for name, value in results.settings.items()]
    machine = format_machine(results.machine)
    parts = [_INTRODUCTION.format(machine=machine, commit=results.commit, versions=", ".join(versions))]
    sections = (
        ("batch", "The size of a batch", _batch_section),
        ("waiting", "Predictions that wait", _waiting_section),
        ("gateways", "Gateway processes", _gateways_section),
        ("artifact", "The size of the artifact", _artifact_section),
    )
    for name, title, section in sections:
        rounds = results.rounds.get(name)
        parts.append(f"## {title}" if rounds is None else f"## {title}\n\n{_format_count(rounds, 'round')}.")
        parts += section(results) or [_NOT_MEASURED_TEXT]
    return "\n\n".join([*parts, *_failures_section(results)]) + "\n"


def _batch_section(results: GrowthResults) -> list[str]:
    groups = _group_by_size(results.batch, lambda figure: figure.n_rows)
    if not groups:
        return []
    lines = [
        [
            f"{n_rows:,}",
            _format_figures(figures, lambda figure: figure.pipeline_ms),
            _format_figures(figures, lambda figure: figure.predict_ms),
            _format_figures(figures, _microseconds_per_row),
        ]
        for n_rows, figures in groups.items()
    ]
    smallest, largest = min(groups), max(groups)
    cheapest = min(groups, key=lambda n_rows: _median(groups[n_rows], _microseconds_per_row))
    few, many = groups[smallest], groups[largest]
    predict = _median(many, lambda f: f.predict_ms) / _median(few, lambda f: f.predict_ms)
    pipeline = _median(many, lambda f: f.pipeline_ms) / _median(few, lambda f: f.pipeline_ms)
    sentence = (
        f"A batch of {largest:,} takes {format_number(predict)} times as long as a batch of {smallest:,}; the pipeline "
        f"alone takes {format_number(pipeline)} times as long. A row takes least time in batches of {cheapest:,}: "
        f"{format_number(_median(groups[cheapest], _microseconds_per_row))} µs, compared with "
        f"{format_number(_median(few, _microseconds_per_row))} µs in batches of {smallest:,}."
    )
    return [table(["rows in the batch", "pipeline, ms", "predictor, ms", "µs per row"], lines), sentence]


def _microseconds_per_row(figure: BatchFigures) -> float:
    return figure.predict_ms / figure.n_rows * 1000


def _waiting_section(results: GrowthResults) -> list[str]:
    groups = _group_by_size(results.waiting, lambda figure: figure.waiting)
    if not groups:
        return []
    lines = [
        [
            f"{waiting:,}",
            _format_figures(figures, lambda figure: figure.submit_ms),
            _format_figures(figures, lambda figure: figure.poll_ms),
            _format_figures(figures, lambda figure: figure.broker_mib),
            _format_figures(figures, lambda figure: figure.bytes_each, 0),
            _format_figures(figures, lambda figure: figure.waiting / figure.batches),
        ]
        for waiting, figures in groups.items()
    ]
    few, many = min(groups), max(groups)
    submit = _median(groups[many], lambda f: f.submit_ms) / _median(groups[few], lambda f: f.submit_ms)
    poll = _median(groups[many], lambda f: f.poll_ms) / _median(groups[few], lambda f: f.poll_ms)
    sentence = (
        f"With {many:,} queued predictions, submitting takes {format_number(submit)} times as long as with {few:,}, "
        f"and polling {format_number(poll)} times. A queued prediction takes "
        f"{format_number(_median(groups[many], lambda f: f.bytes_each), 0)} bytes of the broker's memory in batches "
        f"of {format_number(_median(groups[many], lambda f: f.waiting / f.batches))} predictions."
    )
    if alone := Spread.from_values(results.alone_bytes):
        sentence += f" Alone in its batch it takes {format_spread(alone, 0)} bytes."
    header = ["queued", "submit, ms", "poll, ms", "broker, MiB", "bytes per prediction added", "predictions per batch"]
    return [table(header, lines), sentence]


def _gateways_section(results: GrowthResults) -> list[str]:
    measured = results.gateways
    if measured is None or not measured.cells:
        return []
    summary = Summary(measured)
    lines = [
        [str(connections), system.title, *_gateway_cells(summary, system.name, connections)]
        for connections in measured.plan.connections
        for system in measured.systems
    ]
    header = ["connections", "system", "requests/s", "p50, ms", "p99, ms", "CPU s per 1,000", "errors"]
    return [table(header, lines), *_gateways_comparison(summary, measured)]


def _gateway_cells(summary: Summary, system: str, connections: int) -> list[str]:
    spreads = [(figure, summary.spread(figure, system, connections, 1)) for figure in (_THROUGHPUT, _P50, _P99, _CPU)]
    counted = summary.errors(system, connections, 1)
    return [
        *(_NO_VALUE if spread is None else format_spread(spread, figure.digits) for figure, spread in spreads),
        _NO_VALUE if counted is None else f"{counted[0]:,} of {counted[1]:,}",
    ]


def _gateways_comparison(summary: Summary, gateway_results: Serving) -> list[str]:
    """Compare each number of processes with one process, at the most connections."""
    connections = max(gateway_results.plan.connections)
    clauses = []
    for system in gateway_results.systems[1:]:
        one = gateway_results.systems[0].name
        throughput = summary.ratio(_THROUGHPUT, system.name, connections, 1, one)
        cpu = summary.ratio(_CPU, system.name, connections, 1, one)
        if throughput and cpu:
            clauses.append(
                f"{system.title}: {format_number(throughput.median)} times the requests/s, "
                f"{format_number(cpu.median)} times the CPU per request"
            )
    return [f"At {connections} connections, relative to one gateway process: {'; '.join(clauses)}."] if clauses else []


def _artifact_section(results: GrowthResults) -> list[str]:
    groups = _group_by_size(results.artifact, lambda figure: figure.size)
    if not groups:
        return []
    lines = [
        [
            f"{figures[0].name}, {_format_bytes(size)}",
            _format_figures(figures, lambda figure: figure.start_seconds),
            _format_figures(figures, lambda figure: figure.parent_mib),
            _format_figures(figures, lambda figure: figure.pool_mib),
            _format_figures(figures, lambda figure: figure.predict_ms),
        ]
        for size, figures in groups.items()
    ]
    header = ["artifact", "start, s", "Celery parent, MiB", "pool process, MiB", "one row, ms"]
    return [table(header, lines), *_artifacts_comparison(groups)]


def _artifacts_comparison(groups: dict[int, list[ArtifactFigures]]) -> list[str]:
    least, most = min(groups), max(groups)
    if least == most:
        return []
    seconds = _median(groups[most], lambda f: f.start_seconds) - _median(groups[least], lambda f: f.start_seconds)
    mib = _median(groups[most], lambda f: f.pool_mib) - _median(groups[least], lambda f: f.pool_mib)
    parent = _median(groups[most], lambda f: f.parent_mib) - _median(groups[least], lambda f: f.parent_mib)
    return [
        f"With {_format_bytes(most)} instead of {_format_bytes(least)}, a start takes {format_number(seconds)} s "
        f"more, the pool process needs {format_number(mib * 2**20 / (most - least))} bytes of memory per byte of the "
        f"artifact, and the Celery parent {format_number(parent)} MiB more."
    ]


def _failures_section(results: GrowthResults) -> list[str]:
    failures = [(f"{one.part}, {one.where}", one.round, one.reason) for one in results.failures]
    if results.gateways is not None:
        failures += [(f"{one.system}, {one.where}", one.round, one.reason) for one in results.gateways.failures]
    if not failures:
        return []
    parts = [f"**{where}**, in round {number + 1}:\n\n```\n{reason.strip()}\n```" for where, number, reason in failures]
    return ["## Failures", *parts]


def _group_by_size(figures: Sequence[Figure], get_size: Callable[[Figure], int]) -> dict[int, list[Figure]]:
    """Group the figures of all rounds by size, in ascending order."""
    sizes = sorted({get_size(figure) for figure in figures})
    return {size: [figure for figure in figures if get_size(figure) == size] for size in sizes}


def _format_figures(figures: Sequence[Figure], get_value: Callable[[Figure], float], digits: int | None = None) -> str:
    spread = Spread.from_values(get_value(figure) for figure in figures)
    return _NO_VALUE if spread is None else format_spread(spread, digits)


def _median(figures: Sequence[Figure], get_value: Callable[[Figure], float]) -> float:
    return statistics.median(get_value(figure) for figure in figures)


def _format_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _format_bytes(size: int) -> str:
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{format_number(size / factor)} {unit}"
    return f"{size} bytes"
