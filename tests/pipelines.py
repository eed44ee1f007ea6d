"""Pipelines that misbehave on purpose. Workers import this module when they unpickle their artifacts."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from tests.chaos.traffic import Trouble

Array = NDArray[np.float64]


class SignClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predicts 1 for a row whose first column is positive, else 0."""

    def fit(self, rows: Array, target: Any) -> Self:
        del rows, target
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, rows: Array) -> NDArray[np.int64]:
        return (rows[:, 0] > 0).astype(np.int64)

    def predict_proba(self, rows: Array) -> Array:
        return np.column_stack([rows[:, 0] <= 0, rows[:, 0] > 0]).astype(np.float64)


class RejectsSevens(SignClassifier):
    """Raises if the first column of a row is 7."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        if (rows[:, 0] == 7).any():
            raise ValueError("a row starts with 7")
        return super().predict(rows)


class Sleeps(SignClassifier):
    """Sleeps for the milliseconds in the first column of the first row."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        time.sleep(max(rows[0, 0], 0) / 1000)
        return super().predict(rows)


def gate(folder: str | Path, number: float) -> Path:
    """Return the file that exists while a gate is closed."""
    return Path(folder, f"{number:.0f}")


class WaitsAtGates(SignClassifier):
    """Waits while a gate is closed whose number is in the second column of a row."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def predict(self, rows: Array) -> NDArray[np.int64]:
        for number in np.unique(rows[:, 1]):
            while gate(self.folder, number).exists():
                time.sleep(0.005)
        return super().predict(rows)


class WaitsOrRejects(WaitsAtGates, RejectsSevens):
    """Waits at gates, then raises if the first column of a row is 7."""


class Lethal(WaitsAtGates):
    """Waits at gates, then harms its process as the second column of a row specifies."""

    KILL, ALLOCATE, STOP = 13, 14, 15
    """Kill it; allocate a terabyte; if gate 15 is closed, open it and stop until SIGCONT."""

    def predict(self, rows: Array) -> NDArray[np.int64]:
        stop = gate(self.folder, self.STOP)
        if (rows[:, 1] == self.STOP).any() and stop.exists():
            stop.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        labels = super().predict(rows)
        if (rows[:, 1] == self.KILL).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (rows[:, 1] == self.ALLOCATE).any():
            np.zeros(2**40, dtype=np.uint8)
        return labels


class CountsCalls(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Returns rows unchanged and counts the calls; has no attribute that shows that it was fitted."""

    calls = 0

    def fit(self, rows: Array, target: Any) -> Self:
        del rows, target
        return self

    def transform(self, rows: Array) -> Array:
        self.calls += 1
        return rows


class SlowToLoad(SignClassifier):
    """Takes longer to unpickle than Celery's default limit for the start of a pool process (4 s)."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        time.sleep(5)
        super().__setstate__(state)


class LoadsAtAGate(WaitsAtGates):
    """Waits while gate 0 is closed before it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        while gate(state["folder"], 0).exists():
            time.sleep(0.005)
        super().__setstate__(state)


class WritesAFile(SignClassifier):
    """Writes a file when it is unpickled: a stand-in for a malicious artifact."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["path"]).touch()
        super().__setstate__(state)


class FailsToLoad(SignClassifier):
    """Raises when it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise RuntimeError("a library that this pipeline needs is not here")


class Troublesome(SignClassifier):
    """Predicts the number of each row, and causes the trouble that the row's first column specifies.

    The artifact names this class, so a worker that loads it must run in the root of the repository, where it can import
    `tests`.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def predict(self, rows: Array) -> NDArray[np.int64]:
        for trouble, argument, number in rows[rows[:, 0] != 0]:
            self._make_trouble(Trouble(int(trouble)), float(argument), Path(self.folder, f"{number:.0f}"))
        return rows[:, 2].astype(np.int64)

    def predict_log_proba(self, rows: Array) -> Array:
        # Thirds use the whole mantissa, so a loss of precision on the way changes the value.
        return np.column_stack([rows[:, 2] / -3, np.full(len(rows), -np.inf)])

    def _make_trouble(self, trouble: Trouble, argument: float, pid_file: Path) -> None:
        if trouble is Trouble.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        elif trouble is Trouble.HANG:
            while True:
                time.sleep(3600)
        elif trouble is Trouble.ALLOCATE:
            np.zeros(int(argument), dtype=np.uint8)  # never written, so it uses no physical memory
        elif not pid_file.exists():
            new = pid_file.with_suffix(".new")
            new.write_text(str(os.getpid()))
            new.rename(pid_file)
            time.sleep(argument / 1000)


def drop_when(rows: Any) -> Any:
    """Return a data frame without its column `when`."""
    return rows.drop(columns="when")


def as_floats(rows: Any) -> Any:
    """Return a data frame of numbers and booleans, some of them missing, as float64."""
    return rows.astype("float64")


def parts_of_dates(rows: Any) -> Any:
    """Return the day of the year and the hour of datetimes, NaN where one is missing."""
    parts = {name: getattr(rows[name].dt, part) for name in rows for part in ("day_of_year", "hour")}
    return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for column in parts.values()])


def drop_or_repeat(rows: Array) -> Array:
    """Drop the rows whose first column is above 10; repeat those in which it is below -10."""
    kept = rows[rows[:, 0] <= 10]
    return np.repeat(kept, np.where(kept[:, 0] < -10, 2, 1), axis=0)


def standardize_batch(rows: Array) -> Array:
    """Standardize rows by their own mean, so that each result depends on all of them."""
    return np.asarray((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1))


def sort_batch(rows: Array) -> Array:
    return rows[rows[:, 0].argsort()]


def number_batch(rows: Array) -> Array:
    """Replace the first column by the position in the batch."""
    return np.column_stack([np.arange(len(rows)), rows[:, 1]])


def refuse_single_row(rows: Array) -> Array:
    if len(rows) < 2:
        raise ValueError("a batch needs two rows")
    return rows


def cap_in_place(rows: Array) -> Array:
    """Write into the rows that it is given."""
    rows[rows > 0.5] = 0.5
    return rows


def pop_first_column(frame: Any) -> Any:
    """Remove a column from the data frame that it is given."""
    first = frame.pop(frame.columns[0])
    return frame.assign(first=first * 2)
