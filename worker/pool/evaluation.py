"""Evaluates a loaded pipeline: rows are transformed once, and its last step is evaluated once if that is exact."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog

from shared.names import Output
from worker.pool.one_evaluation import Evaluation, evaluate_by_own_methods, find_evaluation
from worker.pool.outputs import OutputValues, WantedRows, compute_output, count_rows, select_rows
from worker.pool.pipeline_steps import split_steps
from worker.pool.single_job import use_single_job

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
        self._transforms, self._final = split_steps(pipeline)
        self._outputs = outputs
        self._evaluate = find_evaluation(self._final)

    def __call__(self, rows: Any, wanted_rows: WantedRows) -> dict[Output, OutputValues]:
        """Compute each wanted output once, for the rows for which it is wanted.

        Raises:
            RowCountChanged: a row has no result, or more than one.
            Exception: any exception of the pipeline.
        """
        return self._evaluate_final(self._evaluate, self._transform(rows), wanted_rows)

    def prove_one_evaluation(self, rows: Any) -> None:
        """Compute every output with the model's own methods, and compare the one evaluation with them.

        If a bit differs, the model's own methods are used from now on.

        Raises:
            Exception: any exception of the pipeline's own methods.
        """
        rows = self._transform(rows)
        expected = self._evaluate_final(evaluate_by_own_methods, rows, dict.fromkeys(self._outputs))
        pair: WantedRows = {output: None for output in _LABELS_AND_LOG_PROBA if output in expected}
        try:
            reason = _describe_difference(expected, self._evaluate_final(self._evaluate, rows, pair))
        except Exception as error:  # a fault of the one evaluation: the model's own methods raised nothing
            reason = repr(error)
        if reason is not None:
            log.warning("fell back to the model's own methods", step=type(self._final).__name__, reason=reason)
            self._evaluate = evaluate_by_own_methods

    def _transform(self, rows: Any) -> Any:
        n_rows = count_rows(rows)
        for transform in self._transforms:
            rows = transform.transform(rows)
            if (n_returned := count_rows(rows)) != n_rows:
                raise RowCountChanged(f"the step {type(transform).__name__}", n_returned, n_rows)
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
