"""`python -m worker.prove MODEL_DIR EXPECTED REPORT [TRUSTED_TYPE…]`: compares what serving answers with the pipeline.

Encoded rows come on stdin. EXPECTED holds the same rows as the pipeline takes them, and its outputs for them; it is
complete when stdin ends. REPORT is written: the versions of the distributions that the artifact needs, and the outputs
that are left out. The last line of stderr, at an exit code of 1, is the difference and the remedy, separated by a tab.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from shared.card import SKOPS_FILE, ModelCard
from shared.columns import ModelInput
from shared.errors import ArtifactError
from shared.names import Output
from shared.own_code import top_level_names
from shared.rows import EncodedRows
from worker.distributions import imported_by, modules_of_skops, recorded_modules, versions_of
from worker.pool import artifact
from worker.pool.encoding import json_items
from worker.pool.libraries import pin_threads
from worker.pool.outputs import Values, call
from worker.pool.pipeline_steps import split_steps
from worker.pool.predictor import Predictor

_IMPORTABLE: Final = "Move it to a module, fit the pipeline again, and give the module to `save` with code=[…]."
_CONVERT: Final = "Convert the column before the pipeline is fitted: Sepal cannot send it exactly."
_STATE: Final = "The pipeline must answer the same for the same rows, in every process."
_LABELS: Final = "Let predict return an array of numbers, texts, booleans or datetimes, one for each row."


class Refused(Exception):
    """Serving differs; the arguments are the reason and the remedy."""


def main() -> None:
    """Run the proof."""
    model_dir, expected, report = map(Path, sys.argv[1:4])
    try:
        with recorded_modules() as modules:
            card, pipeline = _load(model_dir, sys.argv[4:])
        left_out = _prove(card, pipeline, expected)
        report.write_text(json.dumps({"versions": _versions(model_dir, card, modules), "left_out": left_out}))
    except Refused as refused:
        reason, remedy = refused.args
        sys.exit(f"{_one_line(reason)}\t{remedy}")
    except Exception as error:
        sys.exit(f"serving fails on rows of the data ({type(error).__name__}: {_one_line(error)})\t{_CONVERT}")


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
    own = top_level_names(card.files)
    return versions_of(module for module in modules | imported_by(own) if module.partition(".")[0] not in own)


def _prove(card: ModelCard, pipeline: Any, expected: Path) -> dict[str, str]:
    """Prove the outputs of a pipeline; returns why some that clients get only on request are left out."""
    pin_threads()
    content = sys.stdin.buffer.read()
    if not content:  # the encoder failed, and says why
        return {}
    encoded = msgspec.msgpack.decode(content, type=EncodedRows)
    X, in_memory = joblib.load(expected)
    predictor = Predictor(card.model_copy(update={"outputs": tuple(in_memory)}), pipeline)
    rows = predictor.decode(encoded)
    if column := find_difference(card.input, rows, X):
        raise Refused(f'the column "{column}" comes back different', _CONVERT)
    predictor.warm_up()
    left_out = {}
    for output, found in predictor.evaluate(rows, dict.fromkeys(in_memory)).items():
        try:
            _compare(output, found, _call(pipeline, output, X), in_memory[output], encoded.n_rows)
        except Refused as refused:
            if output in card.default_outputs:
                raise
            left_out[output.value] = refused.args[0]
    return left_out


def _call(pipeline: Any, output: Output, X: Any) -> Values:
    """Call the pipeline's own method; the last step's for the leaves, which pipelines have no method for."""
    with np.errstate(divide="ignore"):
        if output is not Output.LEAVES:
            return call(pipeline, output, X)
        transforms, last = split_steps(pipeline)
        for transform in transforms:
            X = transform.transform(X)
        return call(last, output, X)


def _compare(output: Output, found: Values, here: Values, there: Values, n_rows: int) -> None:
    """Compare one output as it is served, as the pipeline gives it here, and as it gave it in memory; and write it."""
    if {len(each) for each in (here if isinstance(here, list) else [here])} != {n_rows}:
        raise Refused(f"the pipeline gives another number of rows as {output} than it gets", _LABELS)
    if not _all(_is_close, here, there):
        raise Refused(f"in a new process the pipeline gives another {output}", _STATE)
    if not _all(_is_same, found, here):
        raise Refused(f"serving gives another {output} than the pipeline called directly", _STATE)
    try:
        json.loads(b"[%b]" % b",".join(json_items(found)))
    except TypeError as error:
        raise Refused(f"the {output} cannot be sent ({error})", _LABELS) from error


def _all(is_equal: Callable[[Any, Any], bool], first: Values, second: Values) -> bool:
    """Compare two arrays, or two lists of arrays."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return is_equal(first, second)


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
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if found.dtype.kind == "f":
        found, wanted = (np.where(np.isnan(each), np.nan, each) for each in (found, wanted))
    if found.dtype.kind in "fM":
        return bool(found.tobytes() == wanted.tobytes())
    return np.array_equal(found, wanted)


def _is_close(here: Any, there: Any) -> bool:
    """Whether a loaded pipeline answers as the one in memory; arrays that were not contiguous give other last bits."""
    if here.dtype.kind != "f" or here.shape != there.shape:
        return _is_same(here, there)
    tolerance = 1e-9 if here.dtype == np.float64 else 1e-3
    return np.allclose(here, there, rtol=tolerance, atol=tolerance / 1000, equal_nan=True)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


if __name__ == "__main__":
    main()
