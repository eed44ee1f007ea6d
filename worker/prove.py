"""`python -m worker.prove MODEL_DIR EXPECTED USED [TRUSTED_TYPE…]`: compares what serving answers with the pipeline.

Encoded rows come on stdin. EXPECTED holds the same rows as the pipeline takes them, and its labels and
log-probabilities for them; it is complete when stdin ends. USED is written: the versions of the distributions that the
artifact needs. The last line of stderr, at an exit code of 1, is the
difference and the remedy, separated by a tab.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from shared.card import SKOPS_FILE, ModelCard
from shared.columns import ModelInput
from shared.errors import ArtifactError
from shared.own_code import top_level
from shared.rows import EncodedRows
from shared.store.records import Failure, Member
from worker.distributions import imported_by, modules_of_skops, recorded_modules, versions_of
from worker.pool import artifact
from worker.pool.libraries import pin_threads
from worker.pool.one_evaluation import evaluate_plainly
from worker.pool.predictor import Predictor

_IMPORTABLE: Final = "Move it to a module, fit the pipeline again, and give the module to `save` with code=[…]."
_CONVERT: Final = "Convert the column before the pipeline is fitted: Sepal cannot send it exactly."
_STATE: Final = "The pipeline must answer the same for the same rows, in every process."
_LABELS: Final = "Let predict return an array of numbers, texts, booleans or datetimes, one row for each row of X."


class Refused(Exception):
    """Serving differs; the arguments are the reason and the remedy."""


def main() -> None:
    """Run the proof."""
    model_dir, expected, used = map(Path, sys.argv[1:4])
    try:
        with recorded_modules() as modules:
            card, pipeline = _load(model_dir, sys.argv[4:])
        _prove(card, pipeline, expected)
        used.write_text(json.dumps(_versions(model_dir, card, modules)))
    except Refused as refused:
        reason, remedy = refused.args
        sys.exit(f"{_one_line(reason)}\t{remedy}")
    except Exception as error:
        sys.exit(f"serving fails on rows of X ({type(error).__name__}: {_one_line(error)})\t{_CONVERT}")


def _load(model_dir: Path, trusted_types: list[str]) -> tuple[ModelCard, Any]:
    try:
        return artifact.load(model_dir, trusted_types)
    except ArtifactError as error:
        raise Refused(error.problem, error.remedy) from error
    except Exception as error:
        raise Refused(f"a new process cannot load the pipeline ({error})", _IMPORTABLE) from error


def _versions(model_dir: Path, card: ModelCard, modules: set[str]) -> dict[str, str]:
    """Return the versions of the distributions of these modules and of those that the model's own code imports."""
    if card.artifact == SKOPS_FILE:
        modules = modules_of_skops(model_dir / SKOPS_FILE)
    own = top_level(card.files)
    return versions_of(module for module in modules | imported_by(own) if module.partition(".")[0] not in own)


def _prove(card: ModelCard, pipeline: Any, expected: Path) -> None:
    pin_threads()
    predictor = Predictor(card, pipeline)
    content = sys.stdin.buffer.read()
    if not content:  # the encoder failed, and says why
        return
    encoded = msgspec.msgpack.decode(content, type=EncodedRows)
    X, *in_memory = joblib.load(expected)
    rows = predictor.decode(encoded)
    if column := find_difference(card.input, rows, X):
        raise Refused(f'the column "{column}" comes back different', _CONVERT)
    direct = _call(pipeline, X, with_log_proba="log_proba" in card.outputs)
    if direct[0].shape[:1] != (encoded.n_rows,):
        raise Refused(f"predict returns the shape {direct[0].shape} for {encoded.n_rows} rows", _LABELS)
    predictor.warm_up()
    for name, found, here, there in zip(card.outputs, predictor.evaluate(rows), direct, in_memory, strict=False):
        if not _is_close(here, there):
            raise Refused(f"in a new process the pipeline gives another {name}", _STATE)
        if not _is_same(found, here):
            raise Refused(f"serving gives another {name} than the pipeline called directly", _STATE)
    _prove_answer(predictor, encoded)


def _call(pipeline: Any, X: Any, *, with_log_proba: bool) -> tuple[Any, Any]:
    """Call the pipeline's own methods."""
    if not with_log_proba:
        return np.asarray(pipeline.predict(X)), None
    with np.errstate(divide="ignore"):
        return evaluate_plainly(pipeline, X)


def _prove_answer(predictor: Predictor, encoded: EncodedRows) -> None:
    """Check that the outputs can be written as JSON."""
    try:
        (answer,), _ = predictor.predict(encoded, [Member(b"", encoded.n_rows, len(encoded.content))])
    except TypeError as error:
        raise Refused(f"the labels cannot be sent ({error})", _LABELS) from error
    if isinstance(answer, Failure):
        raise Refused(f"serving fails on rows of X ({answer.detail})", _STATE)
    json.loads(b"[%b]" % answer.prediction)


def find_difference(described: ModelInput, rows: Any, X: Any) -> str | None:
    """Return the first column in which decoded rows differ from the rows of the training data; None if none does."""
    if described.kind == "text":
        return None if rows == [str(text) for text in X] else described.columns[0].name
    if described.kind == "matrix":
        matrix = np.asarray(X)
        same = [_is_same(rows[:, index], matrix[:, index]) for index in range(matrix.shape[1])]
    else:
        is_same = _is_same_pandas if described.library == "pandas" else _is_same_polars
        same = [is_same(rows[column.name], X[column.name]) for column in described.columns]
    return next((column.name for column, each in zip(described.columns, same, strict=True) if not each), None)


def _is_same_pandas(found: Any, wanted: Any) -> bool:
    from pandas.testing import assert_series_equal

    try:
        assert_series_equal(found, wanted, check_exact=True, check_index=False)
    except AssertionError:
        return False
    if found.dtype == object:  # None, NaN and NA are not the same
        return [type(each) for each in found] == [type(each) for each in wanted]
    return not isinstance(found.dtype, np.dtype) or _is_same(found.to_numpy(), wanted.to_numpy())


def _is_same_polars(found: Any, wanted: Any) -> bool:
    if found.dtype != wanted.dtype or not found.equals(wanted, null_equal=True):
        return False
    return not found.dtype.is_float() or _is_same(found.to_numpy(), wanted.to_numpy())


def _is_same(found: Any, wanted: Any) -> bool:
    """Whether two arrays are the same to the bit; each NaN is the same as each other."""
    if found is None or wanted is None:
        return found is wanted
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if found.dtype.kind == "f":
        found, wanted = (np.where(np.isnan(each), np.nan, each) for each in (found, wanted))
    if found.dtype.kind in "fM":
        return bool(found.tobytes() == wanted.tobytes())
    return np.array_equal(found, wanted)


def _is_close(here: Any, there: Any) -> bool:
    """Whether a loaded pipeline answers as the one in memory; arrays that were not contiguous give other last bits."""
    if here is None or there is None or here.dtype.kind != "f" or here.shape != there.shape:
        return _is_same(here, there)
    tolerance = 1e-9 if here.dtype == np.float64 else 1e-3
    return np.allclose(here, there, rtol=tolerance, atol=tolerance / 1000, equal_nan=True)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


if __name__ == "__main__":
    main()
