"""`python -m worker.prove MODEL_DIR EXPECTED`: compares what serving answers with what the pipeline answers directly.

Encoded rows come on stdin. EXPECTED holds the same rows as the pipeline takes them, and its labels and
log-probabilities for them. The last line of stderr, at an exit code of 1, is the difference and the remedy, separated
by a tab.
"""

import sys
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from shared.columns import ModelInput
from shared.rows import EncodedRows
from worker.pool.predictor import Predictor

_IMPORTABLE: Final = "Move it to a module that the worker can import, and fit the pipeline again."
_OTHER: Final = "Convert the column before the pipeline is fitted: Sepal cannot send it exactly."
_STATE: Final = "The pipeline must answer the same for the same rows, in every process."


def main() -> None:
    """Run the proof."""
    model_dir, expected = map(Path, sys.argv[1:])
    try:
        predictor = Predictor.load(model_dir)
        X, labels, log_proba = joblib.load(expected)
    except (AttributeError, ImportError) as error:
        sys.exit(f"a new process cannot load the pipeline ({error})\t{_IMPORTABLE}")
    rows = predictor.decode(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=EncodedRows))
    if difference := _difference(predictor.card.input, rows, X):
        sys.exit(f"{difference}\t{_OTHER}")
    predictor.warm_up()
    for name, found, wanted in zip(
        ("prediction", "log_proba"), predictor.evaluate(rows), (labels, log_proba), strict=True
    ):
        if not _is_same(found, wanted):
            sys.exit(f"in a new process the pipeline gives another {name}\t{_STATE}")


def _difference(described: ModelInput, rows: Any, X: Any) -> str:
    """Say what differs between the decoded rows and the rows of the training data; empty if nothing does."""
    if described.kind == "text":
        return "" if rows == [str(text) for text in X] else "the texts come back different"
    if described.kind == "matrix":
        matrix = np.asarray(X)
        same = [_is_same(rows[:, index], matrix[:, index]) for index in range(matrix.shape[1])]
    elif described.library == "pandas":
        same = [_is_same_pandas(rows[column.name], X[column.name]) for column in described.columns]
    else:
        same = [_is_same_polars(rows[column.name], X[column.name]) for column in described.columns]
    different = [column.name for column, each in zip(described.columns, same, strict=True) if not each]
    return f'the column "{different[0]}" comes back different' if different else ""


def _is_same_pandas(found: Any, wanted: Any) -> bool:
    from pandas.testing import assert_series_equal

    try:
        assert_series_equal(found, wanted, check_exact=True, check_index=False)
    except AssertionError:
        return False
    return found.dtype != object or [type(each) for each in found] == [type(each) for each in wanted]


def _is_same_polars(found: Any, wanted: Any) -> bool:
    return found.dtype == wanted.dtype and bool(found.equals(wanted, null_equal=True))


def _is_same(found: Any, wanted: Any) -> bool:
    """Whether two arrays are the same to the bit; each NaN is the same as each other."""
    if found is None or wanted is None:
        return found is wanted
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if found.dtype.kind != "f":
        return bool(np.array_equal(found, wanted))
    nan = np.isnan(wanted)
    return bool(np.array_equal(nan, np.isnan(found))) and found[~nan].tobytes() == wanted[~nan].tobytes()


if __name__ == "__main__":
    main()
