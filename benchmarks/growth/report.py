"""The results as Markdown: a table for each part, and a sentence that says what its figures come to."""

import statistics
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from benchmarks.growth.results import Artifact, Batch, Growth, Waiting
from benchmarks.serving.markdown import format_machine, format_number, format_spread, table
from benchmarks.serving.results import Results as Serving
from benchmarks.serving.summary import FIGURES, Spread, Summary

Figure = TypeVar("Figure", Batch, Waiting, Artifact)

_INTRODUCTION = """\
# How cost grows: the results

Written by `make bench-growth`; `growth.json` beside it has every round's figures, and [the method](growth.md) says what
they mean.

{machine}. Sepal at commit `{commit}`, with {made_of}.

Each figure is the median of the rounds, with the lowest and the highest of them in brackets."""
_ABSENT: Final = "This run has no figures of it."
_NOTHING: Final = "–"
_THROUGHPUT, _P50, _, _P99, _CPU, _ = FIGURES


def write_report(results: Growth) -> str:
    """Write the whole page; a part that was not measured says so."""
    made_of = [f"{name} {number}" for name, number in results.versions.items()]
    made_of += [f"`{name}={value}`" for name, value in results.settings.items()]
    machine = format_machine(results.machine)
    parts = [_INTRODUCTION.format(machine=machine, commit=results.commit, made_of=", ".join(made_of))]
    sections = (
        ("batch", "The size of a batch", _batch),
        ("waiting", "Predictions that wait", _waiting),
        ("gateways", "Gateway processes", _gateways),
        ("artifact", "The size of the artifact", _artifact),
    )
    for name, title, section in sections:
        rounds = results.rounds.get(name)
        parts.append(f"## {title}" if rounds is None else f"## {title}\n\n{_counted(rounds, 'round')}.")
        parts += section(results) or [_ABSENT]
    return "\n\n".join([*parts, *_failures(results)]) + "\n"


def _batch(results: Growth) -> list[str]:
    groups = _grouped(results.batch, lambda figure: figure.n_rows)
    if not groups:
        return []
    lines = [
        [
            f"{n_rows:,}",
            _shown(figures, lambda figure: figure.pipeline_ms),
            _shown(figures, lambda figure: figure.predict_ms),
            _shown(figures, _microseconds_a_row),
        ]
        for n_rows, figures in groups.items()
    ]
    one, most = min(groups), max(groups)
    cheapest = min(groups, key=lambda n_rows: _median(groups[n_rows], _microseconds_a_row))
    whole = _median(groups[most], lambda f: f.predict_ms) / _median(groups[one], lambda f: f.predict_ms)
    pipeline = _median(groups[most], lambda f: f.pipeline_ms) / _median(groups[one], lambda f: f.pipeline_ms)
    sentence = (
        f"A batch of {most:,} takes {format_number(whole)} times as long as a batch of {one:,}, and "
        f"{format_number(pipeline)} times inside the pipeline. A row costs least in batches of {cheapest:,}: "
        f"{format_number(_median(groups[cheapest], _microseconds_a_row))} µs, against "
        f"{format_number(_median(groups[one], _microseconds_a_row))} µs in batches of {one:,}."
    )
    return [table(["rows in the batch", "pipeline alone, ms", "whole predictor, ms", "µs a row"], lines), sentence]


def _microseconds_a_row(figure: Batch) -> float:
    return figure.predict_ms / figure.n_rows * 1000


def _waiting(results: Growth) -> list[str]:
    groups = _grouped(results.waiting, lambda figure: figure.waiting)
    if not groups:
        return []
    lines = [
        [
            f"{waiting:,}",
            _shown(figures, lambda figure: figure.submit_ms),
            _shown(figures, lambda figure: figure.poll_ms),
            _shown(figures, lambda figure: figure.broker_mib),
            _shown(figures, lambda figure: figure.bytes_each, 0),
            _shown(figures, lambda figure: figure.waiting / figure.batches),
        ]
        for waiting, figures in groups.items()
    ]
    few, many = min(groups), max(groups)
    submit = _median(groups[many], lambda f: f.submit_ms) / _median(groups[few], lambda f: f.submit_ms)
    poll = _median(groups[many], lambda f: f.poll_ms) / _median(groups[few], lambda f: f.poll_ms)
    sentence = (
        f"With {many:,} waiting, submitting one more takes {format_number(submit)} times as long as with {few:,}, and "
        f"polling one {format_number(poll)} times; each that waits takes "
        f"{format_number(_median(groups[many], lambda f: f.bytes_each), 0)} bytes of the broker's memory where "
        f"{format_number(_median(groups[many], lambda f: f.waiting / f.batches))} share a batch."
    )
    if alone := Spread.over(results.alone_bytes):
        sentence += f" One that has a batch to itself takes {format_spread(alone, 0)} bytes."
    header = ["waiting", "submit, ms", "poll, ms", "broker, MiB", "bytes for each one added", "predictions a batch"]
    return [table(header, lines), sentence]


def _gateways(results: Growth) -> list[str]:
    measured = results.gateways
    if measured is None or not measured.cells:
        return []
    summary = Summary(measured)
    lines = [
        [str(connections), system.title, *_gateway_cells(summary, system.name, connections)]
        for connections in measured.plan.connections
        for system in measured.systems
    ]
    header = ["connections", "system", "requests a second", "p50, ms", "p99, ms", "CPU s per 1,000", "errors"]
    return [table(header, lines), *_gateways_compared(summary, measured)]


def _gateway_cells(summary: Summary, system: str, connections: int) -> list[str]:
    spreads = [(figure, summary.spread(figure, system, connections, 1)) for figure in (_THROUGHPUT, _P50, _P99, _CPU)]
    counted = summary.errors(system, connections, 1)
    return [
        *(_NOTHING if spread is None else format_spread(spread, figure.digits) for figure, spread in spreads),
        _NOTHING if counted is None else f"{counted[0]:,} of {counted[1]:,}",
    ]


def _gateways_compared(summary: Summary, measured: Serving) -> list[str]:
    """Set each number of processes against one, where there is most to do."""
    connections = max(measured.plan.connections)
    clauses = []
    for system in measured.systems[1:]:
        one = measured.systems[0].name
        throughput = summary.ratio(_THROUGHPUT, system.name, connections, 1, one)
        cpu = summary.ratio(_CPU, system.name, connections, 1, one)
        if throughput and cpu:
            clauses.append(
                f"{system.title} gives {format_number(throughput)} times the requests a second, each for "
                f"{format_number(cpu)} times the CPU"
            )
    return [f"At {connections} connections, against one gateway process: {'; '.join(clauses)}."] if clauses else []


def _artifact(results: Growth) -> list[str]:
    groups = _grouped(results.artifact, lambda figure: figure.size)
    if not groups:
        return []
    lines = [
        [
            f"{figures[0].name}, {_bytes(size)}",
            _shown(figures, lambda figure: figure.start_seconds),
            _shown(figures, lambda figure: figure.parent_mib),
            _shown(figures, lambda figure: figure.pool_mib),
            _shown(figures, lambda figure: figure.predict_ms),
        ]
        for size, figures in groups.items()
    ]
    header = ["artifact", "start, s", "Celery's parent, MiB", "pool process, MiB", "one row, ms"]
    return [table(header, lines), *_artifacts_compared(groups)]


def _artifacts_compared(groups: dict[int, list[Artifact]]) -> list[str]:
    least, most = min(groups), max(groups)
    if least == most:
        return []
    seconds = _median(groups[most], lambda f: f.start_seconds) - _median(groups[least], lambda f: f.start_seconds)
    mib = _median(groups[most], lambda f: f.pool_mib) - _median(groups[least], lambda f: f.pool_mib)
    parent = _median(groups[most], lambda f: f.parent_mib) - _median(groups[least], lambda f: f.parent_mib)
    return [
        f"From {_bytes(least)} to {_bytes(most)} a start takes {format_number(seconds)} s more, the pool process "
        f"{format_number(mib * 2**20 / (most - least))} bytes of memory for each byte of the artifact, and Celery's "
        f"parent {format_number(parent)} MiB more."
    ]


def _failures(results: Growth) -> list[str]:
    failures = [(f"{one.part}, {one.where}", one.round, one.reason) for one in results.failures]
    if results.gateways is not None:
        failures += [(f"{one.system}, {one.where}", one.round, one.reason) for one in results.gateways.failures]
    if not failures:
        return []
    parts = [f"**{where}**, in round {number + 1}:\n\n```\n{reason.strip()}\n```" for where, number, reason in failures]
    return ["## What failed", *parts]


def _grouped(figures: Sequence[Figure], key: Callable[[Figure], int]) -> dict[int, list[Figure]]:
    """All rounds of each size, the smallest size first."""
    sizes = sorted({key(figure) for figure in figures})
    return {size: [figure for figure in figures if key(figure) == size] for size in sizes}


def _shown(figures: Sequence[Figure], of: Callable[[Figure], float], digits: int | None = None) -> str:
    spread = Spread.over(of(figure) for figure in figures)
    return _NOTHING if spread is None else format_spread(spread, digits)


def _median(figures: Sequence[Figure], of: Callable[[Figure], float]) -> float:
    return statistics.median(of(figure) for figure in figures)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _bytes(size: int) -> str:
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{format_number(size / factor)} {unit}"
    return f"{size} bytes"
