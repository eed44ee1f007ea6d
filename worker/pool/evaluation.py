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
from worker.pool.transforms import RowCountChanged, apply_transforms, flatten_transforms

_LABELS_AND_LOG_PROBA: Final = (Output.PREDICTION, Output.LOG_PROBA)

log = structlog.get_logger(__name__)


class Evaluator:
    """Computes the outputs of a pipeline, equal to the bit to those of its own methods."""

    def __init__(self, pipeline: Any, outputs: Sequence[Output]) -> None:
        use_single_job(pipeline)
        self._own_transforms, self._final = split_steps(pipeline)
        self._transforms = flatten_transforms(self._own_transforms)
        self._outputs = outputs
        self._evaluate = find_evaluation(self._final)

    def __call__(self, rows: Any, wanted_rows: WantedRows) -> dict[Output, OutputValues]:
        """Compute each wanted output once, for the rows for which it is wanted.

        Raises:
            RowCountChanged: a row has no result, or more than one.
            Exception: any exception of the pipeline.
        """
        return self._evaluate_final(self._evaluate, apply_transforms(self._transforms, rows), wanted_rows)

    def prove_one_evaluation(self, rows: Any) -> None:
        """Compute every output with the pipeline's own methods, and compare with them what is called instead.

        If a bit differs, the own methods are used from now on.

        Raises:
            Exception: any exception of the pipeline's own methods.
        """
        rows_again = copy.deepcopy(rows)  # a step may write into its input
        transformed = apply_transforms(self._own_transforms, rows)
        expected = self._evaluate_final(evaluate_by_own_methods, transformed, dict.fromkeys(self._outputs))
        if reason := self._find_fault_of_flat_transforms(rows_again, transformed, expected):
            log.info("fell back to the transforms' own methods", reason=reason)
            self._transforms = self._own_transforms
        pair: WantedRows = {output: None for output in _LABELS_AND_LOG_PROBA if output in expected}
        try:
            reason = _describe_difference(expected, self._evaluate_final(self._evaluate, transformed, pair))
        except Exception as error:  # a fault of the one evaluation: the model's own methods raised nothing
            reason = repr(error)
        if reason is not None:
            log.warning("fell back to the model's own methods", step=type(self._final).__name__, reason=reason)
            self._evaluate = evaluate_by_own_methods

    def _find_fault_of_flat_transforms(
        self, rows: Any, transformed: Any, expected: Mapping[Output, OutputValues]
    ) -> str | None:
        """Return how the flat transforms differ from the pipeline's own; None if they do not.

        Args:
            rows: rows that have not been transformed.
            transformed: the same rows, transformed by the pipeline's own methods.
            expected: their outputs.
        """
        try:
            found = apply_transforms(self._transforms, rows)
            if type(found) is not type(transformed):  # of ColumnTransformer after set_output(transform="pandas")
                return f"they return a {type(found).__name__} instead of a {type(transformed).__name__}"
            outputs = self._evaluate_final(evaluate_by_own_methods, found, dict.fromkeys(expected))
            return _describe_difference(expected, outputs)
        except Exception as error:  # the pipeline's own methods raised nothing
            return repr(error)

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
