"""The predictor: a loaded, warmed pipeline and the encoding of its output.

encoded rows ──▶ a float64 matrix ──▶ predict, predict_log_proba ──▶ one Answer per member, as JSON text
"""

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shared.card import ModelCard
from shared.names import FailureCode
from shared.rows import EncodedRows
from shared.store.records import Answer, Failure, Member
from worker.pool import artifact
from worker.pool.encoding import encode_answers
from worker.pool.rows import Rows, decode


class Predictor:
    """One loaded pipeline."""

    def __init__(self, card: ModelCard, pipeline: Any, interruptions: tuple[type[Exception], ...] = ()) -> None:
        self.card = card
        self._interruptions = interruptions
        self._transforms, self._final = _split_steps(pipeline)

    @classmethod
    def load(cls, model_dir: Path, interruptions: tuple[type[Exception], ...] = ()) -> Self:
        """Verify and unpickle a pipeline, and limit BLAS and OpenMP to one thread.

        Args:
            model_dir: the folder with the artifact and its card.
            interruptions: exceptions that may be raised in the pipeline and are not due to its rows.

        Raises:
            ArtifactError: the directory cannot be served; nothing was unpickled.
        """
        card, pipeline = artifact.load(model_dir)
        _pin_threads()
        return cls(card, pipeline, interruptions)

    def warm_up(self) -> None:
        """Predict the card's example rows, so that lazy imports and caches do not delay the first batch."""
        self._run(np.array(self.card.example, dtype=np.float64))
        _pin_threads()  # again, for libraries that the pipeline loads on first use

    def predict(self, rows: EncodedRows, members: list[Member]) -> tuple[list[Answer | Failure], int]:
        """Run the pipeline once over a whole batch; if it raises, retry each half of the members recursively.

        Args:
            rows: the rows of all members, in the members' order.
            members: their `n_rows` and `n_bytes` add up to those of the rows.

        Returns:
            One answer or failure per member, in their order, and the time taken, in microseconds.
        """
        began = time.perf_counter_ns()
        answers = self._bisect(rows, members)
        return answers, (time.perf_counter_ns() - began) // 1000

    def _bisect(self, rows: EncodedRows, members: list[Member]) -> list[Answer | Failure]:
        decoded = decode(rows, len(self.card.features))  # outside `try`: a decoding error is not the client's fault
        try:
            labels, log_proba = self._run(decoded)
        except self._interruptions:
            raise
        except Exception as error:  # whatever the pipeline raises fails only the members that cause it
            if len(members) == 1:
                return [Failure(FailureCode.ROWS_REJECTED, f"{type(error).__name__}: {error}")]
            first, second = members[: len(members) // 2], members[len(members) // 2 :]
            n_rows, n_bytes = sum(member.n_rows for member in first), sum(member.n_bytes for member in first)
            before = EncodedRows(rows.content[:n_bytes], n_rows, rows.encoding)
            after = EncodedRows(rows.content[n_bytes:], rows.n_rows - n_rows, rows.encoding)
            return self._bisect(before, first) + self._bisect(after, second)
        return encode_answers(labels, log_proba, members)

    def _run(self, rows: Rows) -> tuple[NDArray[Any], Rows | None]:
        """Return labels, shape (n_rows,), and natural-log probabilities, (n_rows, n_classes), -inf where p = 0."""
        for transform in self._transforms:
            rows = transform.transform(rows)
        labels = self._final.predict(rows)
        if "log_proba" not in self.card.outputs:
            return labels, None
        with np.errstate(divide="ignore"):  # the log of a zero probability is a valid output
            if hasattr(self._final, "predict_log_proba"):
                return labels, self._final.predict_log_proba(rows)
            return labels, np.log(self._final.predict_proba(rows))


def _split_steps(pipeline: Any) -> tuple[list[Any], Any]:
    """Split a pipeline into its transforms and its last step, so that rows are transformed once for both outputs.

    `Pipeline.predict` and `Pipeline.predict_log_proba` each call every transform and then the last step. An object of
    another class, even a subclass of Pipeline, is not split.
    """
    from sklearn.pipeline import Pipeline  # here, because only pool processes may import it

    if type(pipeline) is not Pipeline:
        return [], pipeline
    *transforms, final = (step for _, step in pipeline.steps)
    return [step for step in transforms if step not in (None, "passthrough")], final


def _pin_threads() -> None:
    """Limit each loaded BLAS and OpenMP library to one thread: pool processes provide the parallelism."""
    threadpool_limits(limits=1)
