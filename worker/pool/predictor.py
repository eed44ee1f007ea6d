"""The predictor: a loaded, warmed-up pipeline and the encoding of its output.

encoded rows ──▶ a matrix, data frame or list of texts ──▶ the requested outputs ──▶ one Answer per member, as JSON
"""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from shared.card import ModelCard
from shared.names import FailureCode
from shared.rows import EncodedRows, encode_one_batch
from shared.store.records import Answer, Failure, Member
from worker.pool import artifact
from worker.pool.encoding import encode_answers
from worker.pool.evaluation import Evaluator
from worker.pool.libraries import limit_threads
from worker.pool.outputs import find_wanted_rows
from worker.pool.rows import make_decoder


class Predictor:
    """Predicts batches with one loaded pipeline."""

    def __init__(self, card: ModelCard, pipeline: Any, interruptions: tuple[type[Exception], ...] = ()) -> None:
        self.card = card
        self._default_outputs = card.default_outputs
        self.interruptions = interruptions
        self.decode = make_decoder(card)
        self.evaluate = Evaluator(pipeline, card.outputs)

    @classmethod
    def load(
        cls, model_dir: Path, interruptions: tuple[type[Exception], ...] = (), trusted_types: Collection[str] = ()
    ) -> Self:
        """Verify and load a pipeline, and limit BLAS and OpenMP to one thread.

        Args:
            model_dir: the folder with the artifact and its card.
            interruptions: exceptions that may be raised in the pipeline but are not caused by its rows.
            trusted_types: as for `artifact.load`.

        Raises:
            ArtifactError: the directory cannot be served.
        """
        card, pipeline = artifact.load(model_dir, trusted_types)
        limit_threads()
        return cls(card, pipeline, interruptions)

    def warm_up(self) -> None:
        """Predict the card's example rows, so that lazy imports and caches do not delay the first batch."""
        rows = self.decode(encode_one_batch(self.card.example, self.card.encoding))
        self.evaluate.prove_one_evaluation(rows)  # calls the own methods, and what is called instead
        limit_threads()  # again, for libraries that the pipeline loads on first use

    def predict(self, rows: EncodedRows, members: list[Member]) -> tuple[list[Answer | Failure], int]:
        """Run the pipeline once over a whole batch; if it raises, retry each half of the members recursively.

        Args:
            rows: the rows of all members, in the members' order.
            members: their `n_rows` and `n_bytes` add up to those of the rows.

        Returns:
            One answer or failure per member, in their order, and the time taken, in microseconds.
        """
        began = time.perf_counter_ns()
        answers = self._predict_or_bisect(rows, members)
        return answers, (time.perf_counter_ns() - began) // 1000

    def _predict_or_bisect(self, rows: EncodedRows, members: list[Member]) -> list[Answer | Failure]:
        decoded = self.decode(rows)  # outside `try`: the client did not cause a decoding error
        try:
            outputs = self.evaluate(decoded, find_wanted_rows(members, self._default_outputs))
            return encode_answers(outputs, members, self._default_outputs)
        except self.interruptions:
            raise
        except Exception as error:  # of the pipeline or of JSON: it fails only the members that cause it
            if len(members) == 1:
                return [Failure(FailureCode.ROWS_REJECTED, f"The pipeline refused the rows: {error}".rstrip(": "))]
            first, second = members[: len(members) // 2], members[len(members) // 2 :]
            n_rows, n_bytes = sum(member.n_rows for member in first), sum(member.n_bytes for member in first)
            before = EncodedRows(rows.content[:n_bytes], n_rows, rows.encoding)
            after = EncodedRows(rows.content[n_bytes:], rows.n_rows - n_rows, rows.encoding)
            return self._predict_or_bisect(before, first) + self._predict_or_bisect(after, second)
