"""Describes a measured system: its programs, its requests and how to read its responses."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.workload import Dtypes, Outputs, Rows


@dataclass(frozen=True, slots=True)
class Site:
    """The paths and ports of one start of a system."""

    python: Path
    """The Python interpreter of the system's environment."""
    folder: Path
    """An empty folder for its logs and other files."""
    model: Path
    """The pipeline to load."""
    dtypes: Dtypes
    """The dtypes of the pipeline's input."""
    port: int
    """The port that the load goes to."""
    redis_port: int
    """The port of its broker, if it has one."""
    other_ports: Sequence[int] = ()
    """More ports that it may use."""

    @property
    def worker_http_port(self) -> int:
        """The port of the metrics of Sepal's worker."""
        return self.other_ports[1]


@dataclass(frozen=True, slots=True)
class Program:
    """One process to start."""

    name: str
    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    """If set, the next program is started once this one listens on this port."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The rows that a durable system accepted and finished in one round."""

    accepted: int
    final: int


def encode_plain_body(rows: Rows, _dtypes: Dtypes = None) -> str:
    """Return the request body that most systems take: rows as arrays, null for a missing value."""
    return json.dumps({"data": rows})


def read_plain_outputs(body: Any) -> Outputs | None:
    """Parse `{"prediction": […], "log_proba": [[…]]}`, in which minus infinity is the string "-Infinity"."""
    return Outputs(body["prediction"], [[float(value) for value in row] for row in body["log_proba"]])


@dataclass(frozen=True, slots=True)
class System:
    """A measured system: one line of the tables."""

    name: str
    title: str
    programs: Callable[[Site], Iterable[Program]]
    """The programs in start order; each is started before the next is requested from the iterable."""
    path: str = "/predict"
    body: Callable[[Rows, Dtypes], str] = encode_plain_body
    read: Callable[[Any], Outputs | None] = read_plain_outputs
    """Reads the parsed JSON of a response; returns None if the outputs are not to be compared."""
    lock: Path | None = None
    """The lock file of its environment; None for the environment that runs the benchmark."""
    versions: Callable[[], Mapping[str, str]] = dict
    settings: Callable[[], Mapping[str, str]] = dict
    """Returns the variables of the run's environment that configure it."""
    count_rows: Callable[[Site], RowCounts] | None = None


def outputs_match(outputs: Outputs | None, expected: Outputs) -> bool:
    """Return whether outputs equal the pipeline's, including infinities; True if there are none to compare."""
    if outputs is None:
        return True
    if outputs.prediction != expected.prediction or len(outputs.log_proba) != len(expected.log_proba):
        return False
    pairs = zip(outputs.log_proba, expected.log_proba, strict=True)
    return all(
        len(row) == len(own) and all(math.isclose(a, b, abs_tol=1e-12) for a, b in zip(row, own, strict=True))
        for row, own in pairs
    )
