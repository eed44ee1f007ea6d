"""What was promised: each accepted prediction, and what its clients have been told of it so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.ids import BatchId, PredictionId, child_id
from shared.names import FINAL_STATES, State
from shared.store.lookups import Prediction
from shared.store.records import Answer, Failure, Outcome
from tests.machine.actors import ANSWERED_TTL_SECONDS, RESULT_TTL_SECONDS

Committed = Mapping[BatchId, Outcome]
"""The outcomes whose commit was accepted."""


@dataclass(slots=True)
class Promise:
    """One id that was given out."""

    id: PredictionId
    n_rows: int
    n_children: int
    """Of a prediction over several batches; 0 for one that shares a batch."""
    deadline_us: int
    channel: str
    """On which its gateway listens."""
    last_open_us: int
    """When it was last seen to be open, or accepted."""
    end: Prediction | None = None
    """How it was first seen to have ended."""
    is_canceled: bool = False
    is_shortened: bool = False
    is_gone: bool = False

    def is_of(self, batch_id: BatchId) -> bool:
        """Whether some of its rows are in a batch."""
        parent, _, index = batch_id.partition(".")
        if parent != self.id.batch_id:
            return False
        return not index or bool(self.n_children) or int(index) == self.id.index

    def see(self, prediction: Prediction, now_us: int, committed: Committed) -> None:
        """Compare what the store says now with all that it has said."""
        assert not self.is_gone, "a prediction that was gone is there again"
        assert prediction.rows_total == self.n_rows
        if self.end is not None:
            ended, now = self.end, prediction
            assert (now.state, now.answers, now.failure) == (ended.state, ended.answers, ended.failure), (
                "an end changed"
            )
            return
        if self.is_canceled:
            assert prediction.state is State.CANCELED, "a canceled prediction is something else"
        if prediction.state not in FINAL_STATES:
            self.last_open_us = now_us
            return
        self.end = prediction
        if prediction.state is State.EXPIRED:
            assert 0 < self.deadline_us < now_us, "it expired before its deadline"
            return
        if prediction.state is State.CANCELED:
            assert self.is_canceled, "nobody has canceled it"
            return
        ends = self._ends(committed)
        if prediction.state is State.SUCCEEDED:
            assert list(prediction.answers) == ends, "an answer that nobody committed"
            assert not self.deadline_us or self.last_open_us <= self.deadline_us, "it succeeded after its deadline"
        else:
            buried = prediction.failure is not None and prediction.failure.code == "poison"
            assert buried or prediction.failure in ends, "a failure that nobody committed"

    def miss(self, now_us: int) -> None:
        """The store has no record of it any more."""
        seconds = ANSWERED_TTL_SECONDS if self.is_shortened else RESULT_TTL_SECONDS
        assert self.end is not None or self.is_canceled, "an open prediction has disappeared"
        assert now_us - self.last_open_us >= (seconds - 1) * 1_000_000, "a result was not kept as long as promised"
        self.is_gone = True

    def _ends(self, committed: Committed) -> list[Answer | Failure | None]:
        batch_id = self.id.batch_id
        if self.n_children:
            children = [child_id(batch_id, index) for index in range(self.n_children)]
            return [committed[child].members[0] if child in committed else None for child in children]
        alone = child_id(batch_id, self.id.index)
        if alone in committed:
            return [committed[alone].members[0]]
        return [committed[batch_id].members[self.id.index]] if batch_id in committed else [None]


@dataclass(slots=True)
class Promises:
    """All of them, and the commits that were accepted."""

    made: list[Promise] = field(default_factory=list)
    committed: dict[BatchId, Outcome] = field(default_factory=dict)
    latest_token: dict[BatchId, int] = field(default_factory=dict)

    def claimed(self, batch_id: BatchId, token: int) -> None:
        """A claim was granted."""
        assert token == self.latest_token.get(batch_id, 0) + 1, "a token was given twice, or left out"
        assert batch_id not in self.committed, "a batch that was committed is claimed again"
        self.latest_token[batch_id] = token

    def accepted(self, batch_id: BatchId, token: int, outcome: Outcome) -> None:
        """A commit was accepted."""
        assert batch_id not in self.committed, "a batch is committed twice"
        assert token == self.latest_token[batch_id], "an earlier attempt than the latest has committed"
        self.committed[batch_id] = outcome
