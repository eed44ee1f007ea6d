"""Evaluates a loaded pipeline: rows are transformed once, and its last step is evaluated once where that is exact."""

from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.pool.one_evaluation import Evaluate, evaluate_plainly, find_evaluation
from worker.pool.pipeline_steps import split_steps
from worker.pool.single_job import use_single_job

Outputs = tuple[NDArray[Any], NDArray[Any] | None]
"""Labels, shape (n_rows,), and natural-log probabilities, shape (n_rows, n_classes), -inf where p = 0."""

log = structlog.get_logger(__name__)


class Evaluation:
    """The labels and, if asked for, the log-probabilities of a pipeline, to the bit as its own methods give them."""

    def __init__(self, pipeline: Any, *, with_log_proba: bool) -> None:
        use_single_job(pipeline)
        self._transforms, self._final = split_steps(pipeline)
        self._with_log_proba = with_log_proba
        self._evaluate = find_evaluation(self._final)

    def __call__(self, rows: Any) -> Outputs:
        """Evaluate rows in any form that the pipeline takes."""
        return self._evaluate_final(self._evaluate, self._transform(rows))

    def prove(self, rows: Any) -> None:
        """Compare the one evaluation with the model's own methods, and use these from now on if any bit differs.

        Raises:
            Exception: whatever the pipeline's own methods raise for these rows.
        """
        rows = self._transform(rows)
        expected = self._evaluate_final(evaluate_plainly, rows)
        try:
            reason = _find_difference(expected, self._evaluate_final(self._evaluate, rows))
        except Exception as error:  # a fault of the one evaluation: the model's own methods raised nothing
            reason = repr(error)
        if reason is not None:
            log.warning("fell back to the model's own methods", step=type(self._final).__name__, reason=reason)
            self._evaluate = evaluate_plainly

    def _transform(self, rows: Any) -> Any:
        for transform in self._transforms:
            rows = transform.transform(rows)
        return rows

    def _evaluate_final(self, evaluate: Evaluate, rows: Any) -> Outputs:
        if not self._with_log_proba:
            return np.asarray(self._final.predict(rows)), None
        with np.errstate(divide="ignore"):  # the log of a zero probability is a valid output
            return evaluate(self._final, rows)


def _find_difference(expected: Outputs, found: Outputs) -> str | None:
    if _bits(expected[0]) != _bits(found[0]):
        return "other labels"
    return "other log-probabilities" if _bits(expected[1]) != _bits(found[1]) else None


def _bits(values: NDArray[Any] | None) -> Any:
    """Return what two outputs have in common if they are equal to the bit, where NaN equals NaN."""
    if values is None:
        return None
    if values.dtype.kind == "f":
        return values.dtype, values.shape, np.where(np.isnan(values), np.nan, values).tobytes()
    return values.dtype, values.shape, values.tolist()
