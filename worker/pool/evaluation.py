"""Evaluates a loaded pipeline: rows are transformed once, and its last step is evaluated once if that is exact."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog

from shared.names import Output
from worker.pool.one_evaluation import Evaluation, evaluate_by_own_methods, find_evaluation
from worker.pool.outputs import OutputValues, WantedRows, compute_output, count_rows, select_rows
from worker.pool.pipeline_steps import split_steps
from worker.pool.single_job import use_single_job
from worker.pool.transforms import flatten_transform

_LABELS_AND_LOG_PROBA: Final = (Output.PREDICTION, Output.LOG_PROBA)

log = structlog.get_logger(__name__)


class RowCountChanged(ValueError):
    """A step of the pipeline dropped or added rows, so the results cannot be assigned to the rows."""

    def __init__(self, step: str, n_returned: int, n_given: int) -> None:
        super().__init__(f"{step} returned {n_returned} rows for {n_given}")


class Evaluator:
    """Computes the outputs of a pipeline, equal to the bit to those of its own methods."""

    def __init__(self, pipeline: Any, outputs: Sequence[Output]) -> None:
        use_single_job(pipeline)
        self._own_transforms, self._final = split_steps(pipeline)
        self._transforms = [flatten_transform(transform) for transform in self._own_transforms]
        self._outputs = outputs
        self._evaluate = find_evaluation(self._final)

    def __call__(self, rows: Any, wanted_rows: WantedRows) -> dict[Output, OutputValues]:
        """Compute each wanted output once, for the rows for which it is wanted.

        Raises:
            RowCountChanged: a row has no result, or more than one.
            Exception: any exception of the pipeline.
        """
        return self._evaluate_final(self._evaluate, self._transform(self._transforms, rows), wanted_rows)

    def prove_one_evaluation(self, rows: Any) -> None:
        """Compute every output with the pipeline's own methods, and compare with them what is called instead.

        If a bit differs, the own methods are used from now on.

        Raises:
            Exception: any exception of the pipeline's own methods.
        """
        rows_again = copy.deepcopy(rows)  # a step may write into its input
        transformed = self._transform(self._own_transforms, rows)
        if reason := self._find_fault_of_flat_transforms(rows_again, transformed):
            log.warning("fell back to the transforms' own methods", reason=reason)
            self._transforms = self._own_transforms
        expected = self._evaluate_final(evaluate_by_own_methods, transformed, dict.fromkeys(self._outputs))
        pair: WantedRows = {output: None for output in _LABELS_AND_LOG_PROBA if output in expected}
        try:
            reason = _describe_difference(expected, self._evaluate_final(self._evaluate, transformed, pair))
        except Exception as error:  # a fault of the one evaluation: the model's own methods raised nothing
            reason = repr(error)
        if reason is not None:
            log.warning("fell back to the model's own methods", step=type(self._final).__name__, reason=reason)
            self._evaluate = evaluate_by_own_methods

    def _find_fault_of_flat_transforms(self, rows: Any, expected: Any) -> str | None:
        """Return how the flat transforms differ from the pipeline's own, which return the expected rows."""
        if all(flat is own for flat, own in zip(self._transforms, self._own_transforms, strict=True)):
            return None
        try:
            return None if _are_same_rows(self._transform(self._transforms, rows), expected) else "other rows"
        except Exception as error:  # the pipeline's own methods raised nothing
            return repr(error)

    def _transform(self, transforms: Sequence[Any], rows: Any) -> Any:
        """Transform rows with the pipeline's own transforms, or with the flat ones."""
        n_rows = count_rows(rows)
        for transform, own in zip(transforms, self._own_transforms, strict=True):
            rows = transform.transform(rows)
            if (n_returned := count_rows(rows)) != n_rows:
                raise RowCountChanged(f"the step {type(own).__name__}", n_returned, n_rows)
        return rows

    def _evaluate_final(self, evaluate: Evaluation, rows: Any, wanted_rows: WantedRows) -> dict[Output, OutputValues]:
        outputs: dict[Output, OutputValues] = {}
        with np.errstate(divide="ignore"):  # the log of a zero probability is a valid output
            if _wants_labels_and_log_proba_of_same_rows(wanted_rows):
                outputs = dict(
                    zip(
                        _LABELS_AND_LOG_PROBA,
                        evaluate(self._final, select_rows(rows, wanted_rows[_LABELS_AND_LOG_PROBA[0]])),
                        strict=True,
                    )
                )
            for output, indices in wanted_rows.items():
                if output not in outputs:
                    outputs[output] = compute_output(self._final, output, select_rows(rows, indices))
        n_rows = count_rows(rows)
        for output, values in outputs.items():
            _check_row_count(output, values, n_rows if (indices := wanted_rows[output]) is None else len(indices))
        return outputs


def _are_same_rows(first: Any, second: Any) -> bool:
    """Return whether transformed rows are equal to the bit; False for types that cannot be compared."""
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return first.strides == second.strides and bool(_comparable_bits(first) == _comparable_bits(second))
    if hasattr(first, "indptr"):  # a sparse matrix by rows or by columns
        return all(
            _comparable_bits(getattr(first, part)) == _comparable_bits(getattr(second, part))
            for part in ("data", "indices", "indptr")
        )
    if hasattr(first, "equals"):  # a frame
        return bool(first.equals(second))
    return isinstance(first, list) and first == second


def _check_row_count(output: Output, values: OutputValues, n_rows: int) -> None:
    """Raise `RowCountChanged` unless an output has one item for each row."""
    for each in values if isinstance(values, list) else [values]:
        if each.ndim == 0 or len(each) != n_rows:
            raise RowCountChanged(f"the output {output}", each.size if each.ndim == 0 else len(each), n_rows)


def _wants_labels_and_log_proba_of_same_rows(wanted_rows: WantedRows) -> bool:
    """Return whether labels and log-probabilities are wanted for the same rows."""
    if not all(output in wanted_rows for output in _LABELS_AND_LOG_PROBA):
        return False
    first, second = (wanted_rows[output] for output in _LABELS_AND_LOG_PROBA)
    return first is second if first is None or second is None else np.array_equal(first, second)


def _describe_difference(
    expected_outputs: Mapping[Output, OutputValues], found_outputs: Mapping[Output, OutputValues]
) -> str | None:
    """Return which output differs from the expected one; None if none does."""
    for output, values in found_outputs.items():
        if _comparable_bits(values) != _comparable_bits(expected_outputs[output]):
            return f"{output} differs"
    return None


def _comparable_bits(values: OutputValues) -> Any:
    """Return a value that is equal for two outputs if they are equal to the bit, with all NaNs equal."""
    if isinstance(values, list):
        return [_comparable_bits(each) for each in values]
    if values.dtype.kind == "f":
        return values.dtype, values.shape, np.where(np.isnan(values), np.nan, values).tobytes()
    return values.dtype, values.shape, values.tolist()
