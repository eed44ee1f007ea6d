"""What a system under measurement is: what to start, where to ask, how to read its answer."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.question import Answer, Rows


@dataclass(frozen=True, slots=True)
class Site:
    """Where one start of a system takes place."""

    python: Path
    """The interpreter of the system's own environment."""
    folder: Path
    """Its own, and empty: for logs and whatever it writes."""
    model: Path
    """The pipeline to load."""
    port: int
    """Where it is asked."""
    redis_port: int
    """Where its broker listens, if it has one."""
    other_ports: Sequence[int] = ()
    """For whatever else it opens."""

    @property
    def worker_http_port(self) -> int:
        """Where Sepal's worker shows its metrics."""
        return self.other_ports[1]


@dataclass(frozen=True, slots=True)
class Program:
    """One process to start."""

    name: str
    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    """What follows is started once it listens here."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a durable system has taken on in one round, in rows."""

    accepted: int
    final: int


def plain_body(rows: Rows) -> str:
    """The request that most systems take."""
    return json.dumps({"data": rows})


def plain_answer(body: Any) -> Answer | None:
    """Read `{"prediction": […], "log_proba": [[…]]}`, in which "-Infinity" is a number."""
    return Answer(body["prediction"], [[float(value) for value in row] for row in body["log_proba"]])


@dataclass(frozen=True, slots=True)
class System:
    """One line of the tables."""

    name: str
    title: str
    programs: Callable[[Site], Iterable[Program]]
    """Each is started before the next is asked for."""
    path: str = "/predict"
    body: Callable[[Rows], str] = plain_body
    read: Callable[[Any], Answer | None] = plain_answer
    """Reads the parsed JSON of an answer; None where there is nothing to compare."""
    lock: Path | None = None
    """The hashed lock of its environment; None for the one that runs the benchmark."""
    versions: Callable[[], Mapping[str, str]] = dict
    settings: Callable[[], Mapping[str, str]] = dict
    """What of it was set in this run's environment."""
    account: Callable[[Site], Account] | None = None


def agree(given: Answer | None, expected: Answer) -> bool:
    """Whether an answer is the pipeline's own, infinities included."""
    if given is None:
        return True
    if given.prediction != expected.prediction or len(given.log_proba) != len(expected.log_proba):
        return False
    pairs = zip(given.log_proba, expected.log_proba, strict=True)
    return all(
        len(row) == len(own) and all(math.isclose(a, b, abs_tol=1e-12) for a, b in zip(row, own, strict=True))
        for row, own in pairs
    )
