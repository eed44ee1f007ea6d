"""`python -m worker.prove MODEL_DIR EXPECTED REPORT [TRUSTED_TYPE…]`: compares the served outputs with the pipeline's.

It reads encoded rows from stdin. EXPECTED contains the same rows in the form that the pipeline takes, and the outputs
for them; it is complete when stdin ends. It writes REPORT: the versions of the distributions that the artifact needs,
and the outputs that are left out. If the exit code is 1, the last line of stderr is the difference and the remedy,
separated by a tab.
"""

import copy
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from shared.card import SKOPS_FILE, ModelCard
from shared.columns import ModelInput
from shared.errors import ArtifactError, CannotServe
from shared.names import Output
from shared.own_code import top_level_names
from shared.rows import EncodedRows, decode, encode_one_batch
from worker.distributions import find_distribution_versions, find_own_code_imports, find_skops_modules, record_modules
from worker.pool import artifact
from worker.pool.encoding import encode_items
from worker.pool.libraries import limit_threads
from worker.pool.outputs import OutputValues, compute_output
from worker.pool.pipeline_steps import split_steps
from worker.pool.predictor import Predictor

_IMPORT_REMEDY: Final = "Move it to a module, fit the pipeline again, and give the module to `save` with code=[…]."
_CONVERT_REMEDY: Final = "Convert the column before the pipeline is fitted: Sepal cannot send it exactly."
_STATE_REMEDY: Final = "The pipeline must return the same outputs for the same rows, in every process."
_ROWS_REMEDY: Final = (
    "Let each step compute every row by itself, with what it learned in fit: as StandardScaler does, instead of a "
    "function that computes with the rows it is given."
)
_N_LONE_ROWS: Final = 5
"""How many rows are also evaluated by themselves."""
_LONE_TOLERANCE: Final = 1e-3
"""The difference that is allowed between a row by itself and in a batch, as a fraction of the output's largest value:
the last bits of a linear model, float32, and transforms that iterate until the whole batch has converged."""


class ProofFailed(Exception):
    """The proof failed; the arguments are the reason and the remedy."""


def main() -> None:
    """Run the proof."""
    model_dir, expected, report = map(Path, sys.argv[1:4])
    try:
        with record_modules() as modules:
            card, pipeline = _load_pipeline(model_dir, sys.argv[4:])
        left_out = _prove_outputs(card, pipeline, expected)
        report.write_text(json.dumps({"versions": _find_versions(model_dir, card, modules), "left_out": left_out}))
    except ProofFailed as failure:
        reason, remedy = failure.args
        sys.exit(f"{_to_one_line(reason)}\t{remedy}")
    except Exception as error:
        sys.exit(
            f"serving fails on rows of the data ({type(error).__name__}: {_to_one_line(error)})\t{_CONVERT_REMEDY}"
        )


def _load_pipeline(model_dir: Path, trusted_types: list[str]) -> tuple[ModelCard, Any]:
    try:
        return artifact.load(model_dir, trusted_types)
    except ArtifactError as error:
        raise ProofFailed(error.problem, error.remedy) from error
    except Exception as error:
        raise ProofFailed(f"a new process cannot load the pipeline ({error})", _IMPORT_REMEDY) from error


def _find_versions(model_dir: Path, card: ModelCard, modules: set[str]) -> dict[str, str]:
    """Return the versions of the distributions of these modules, and of those that the model's own code imports."""
    if card.artifact == SKOPS_FILE:
        modules = find_skops_modules(model_dir / SKOPS_FILE)
    own = top_level_names(card.files)
    return find_distribution_versions(
        module for module in modules | find_own_code_imports(own) if module.partition(".")[0] not in own
    )


def _prove_outputs(card: ModelCard, pipeline: Any, expected_path: Path) -> dict[str, str]:
    """Prove the outputs of a pipeline; return the reason for each that is not a default output and must be left out."""
    limit_threads()
    content = sys.stdin.buffer.read()
    if not content:  # the encoder failed and reports the reason
        return {}
    encoded = msgspec.msgpack.decode(content, type=EncodedRows)
    X, in_memory = joblib.load(expected_path)
    predictor = Predictor(card.model_copy(update={"outputs": tuple(in_memory)}), pipeline)
    rows = predictor.decode(encoded)
    if column := find_differing_column(card.input, rows, X):
        raise ProofFailed(f'the column "{column}" is changed by encoding and decoding', _CONVERT_REMEDY)
    predictor.warm_up()
    left_out = {}
    served = predictor.evaluate(rows, dict.fromkeys(in_memory))
    for output, found in served.items():
        try:
            # A copy, because a step may write into its input.
            direct = _compute_directly(pipeline, output, copy.deepcopy(X))
            _check_output(output, found, direct, in_memory[output])
        except ProofFailed as failure:
            if output in card.default_outputs:
                raise
            left_out[output.value] = failure.args[0]
    return left_out | _find_dependent_outputs(
        card, predictor, encoded, {output: served[output] for output in served if output not in left_out}
    )


def _find_dependent_outputs(
    card: ModelCard, predictor: Predictor, encoded: EncodedRows, served: dict[Output, OutputValues]
) -> dict[str, str]:
    """Return the reason for each output of a row that depends on the other rows of its batch, which anybody may send.

    Labels are compared only if there are no numbers: where two classes are equally likely, the last bits decide.

    Raises:
        ProofFailed: a default output depends on them.
    """
    dependent = {}
    numbers = {output: values for output, values in served.items() if _are_numbers(values)} or served
    for index, row in enumerate(decode(encoded)[:_N_LONE_ROWS]):
        lone = predictor.decode(encode_one_batch([row], encoded.encoding))
        try:
            found = predictor.evaluate(lone, dict.fromkeys(numbers))
        except Exception as error:
            raise ProofFailed(f"the pipeline raises on one row alone: {error}", _ROWS_REMEDY) from error
        for output, values in numbers.items():
            if not _all_match(partial(_is_row, index), found[output], values):
                reason = f"the {output} of a row depends on the other rows of its batch"
                if output in card.default_outputs:
                    raise ProofFailed(reason, _ROWS_REMEDY)
                dependent[output.value] = reason
    return dependent


def _are_numbers(values: OutputValues) -> bool:
    return all(each.dtype.kind == "f" for each in (values if isinstance(values, list) else [values]))


def _is_row(index: int, lone: Any, values: Any) -> bool:
    """Return whether the output of a lone row is that of the row with this index."""
    if values.dtype.kind != "f":
        return _is_identical(lone[:1], values[index : index + 1])
    largest = np.max(np.abs(values), where=np.isfinite(values), initial=0)
    return np.allclose(lone[0], values[index], rtol=_LONE_TOLERANCE, atol=_LONE_TOLERANCE * largest, equal_nan=True)


def _compute_directly(pipeline: Any, output: Output, X: Any) -> OutputValues:
    """Call the pipeline's own method; for leaves, which a pipeline has no method for, that of its last step."""
    with np.errstate(divide="ignore"):
        if output is not Output.LEAVES:
            return compute_output(pipeline, output, X)
        transforms, last = split_steps(pipeline)
        for transform in transforms:
            X = transform.transform(X)
        return compute_output(last, output, X)


def _check_output(
    output: Output, served_values: OutputValues, direct_values: OutputValues, memory_values: OutputValues
) -> None:
    """Check that an output is equal if served, called directly and called in memory, and that it can be encoded."""
    if not _all_match(_is_close, direct_values, memory_values):
        raise ProofFailed(f"in a new process the pipeline returns a different {output}", _STATE_REMEDY)
    if not _all_match(_is_identical, served_values, direct_values):
        raise ProofFailed(f"serving returns a different {output} than the pipeline called directly", _STATE_REMEDY)
    try:
        json.loads(b"[%b]" % b",".join(encode_items(served_values)))
    except TypeError as error:
        raise ProofFailed(f"the {output} cannot be encoded as JSON ({error})", CannotServe.labels_remedy) from error


def _all_match(is_equal: Callable[[Any, Any], bool], first: OutputValues, second: OutputValues) -> bool:
    """Return whether two arrays, or all pairs of arrays in two lists, are equal."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return is_equal(first, second)


def find_differing_column(model_input: ModelInput, rows: Any, X: Any) -> str | None:
    """Return the first column in which decoded rows differ from rows of the training data; None if no column does."""
    if model_input.kind == "text":
        return None if rows == [str(text) for text in X] else model_input.columns[0].name
    if model_input.kind == "matrix":
        matrix = np.asarray(X)
        same = [_is_identical(rows[:, index], matrix[:, index]) for index in range(matrix.shape[1])]
    else:
        is_same = _is_identical_in_pandas if model_input.library == "pandas" else _is_identical_in_polars
        same = [is_same(rows[column.name], X[column.name]) for column in model_input.columns]
    return next((column.name for column, each in zip(model_input.columns, same, strict=True) if not each), None)


def _is_identical_in_pandas(decoded: Any, original: Any) -> bool:
    import pandas as pd
    from pandas.testing import assert_series_equal

    if isinstance(original.dtype, pd.CategoricalDtype) and original.cat.categories.name is not None:
        # The index of the categories has a name if it comes from `value_counts`, for example; no step reads it.
        unnamed = pd.CategoricalDtype(original.cat.categories.rename(None), original.cat.ordered)
        original = pd.Series(pd.Categorical.from_codes(original.cat.codes, dtype=unnamed), name=original.name)
    try:
        assert_series_equal(decoded, original, check_exact=True, check_index=False)
    except AssertionError:
        return False
    if decoded.dtype == object:  # None, NaN and NA are different markers
        return _find_types(decoded) == _find_types(original)
    return not isinstance(decoded.dtype, np.dtype) or _is_identical(decoded.to_numpy(), original.to_numpy())


def _find_types(values: Any) -> list[type]:
    """Return the type of each object, float also for numpy's NaN."""
    return [float if isinstance(value, float) else type(value) for value in values]


def _is_identical_in_polars(decoded: Any, original: Any) -> bool:
    if decoded.dtype != original.dtype or not decoded.equals(original, null_equal=True):
        return False
    return not decoded.dtype.is_float() or _is_identical(decoded.to_numpy(), original.to_numpy())


def _is_identical(first: Any, second: Any) -> bool:
    """Return whether two arrays are equal to the bit, with all NaNs equal."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    if first.dtype.kind == "f":
        first, second = (np.where(np.isnan(each), np.nan, each) for each in (first, second))
    if first.dtype.kind in "fM":
        return bool(first.tobytes() == second.tobytes())
    if first.dtype.kind == "O":
        return all(map(_are_same_objects, first.ravel().tolist(), second.ravel().tolist()))
    return np.array_equal(first, second)


def _are_same_objects(first: Any, second: Any) -> bool:
    """Return whether two objects are equal; a missing value equals one of its own type."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    is_equal = first == second
    return (
        bool(is_equal.all())
        if isinstance(is_equal, np.ndarray)
        else bool(is_equal or (first != first and second != second))
    )


def _is_close(loaded_values: Any, memory_values: Any) -> bool:
    """Return whether outputs of the loaded pipeline and the one in memory agree.

    The last bits may differ, because an array that is not contiguous in memory is contiguous once it is loaded.
    """
    if loaded_values.dtype.kind != "f" or loaded_values.shape != memory_values.shape:
        return _is_identical(loaded_values, memory_values)
    tolerance = 1e-9 if loaded_values.dtype == np.float64 else 1e-3
    return np.allclose(loaded_values, memory_values, rtol=tolerance, atol=tolerance / 1000, equal_nan=True)


def _to_one_line(text: object) -> str:
    return " ".join(str(text).split())


if __name__ == "__main__":
    main()
