"""The promises: each accepted prediction, with the earlier look-ups of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.ids import BatchId, PredictionId, child_id
from shared.names import FINAL_STATES, State
from shared.store.lookups import Prediction
from shared.store.records import Answer, Failure, Outcome
from tests.machine.actors import ANSWERED_TTL_SECONDS, RESULT_TTL_SECONDS

Committed = Mapping[BatchId, Outcome]
"""The outcomes of accepted commits."""


@dataclass(slots=True)
class Promise:
    """An accepted prediction."""

    id: PredictionId
    n_rows: int
    n_children: int
    """The number of batches of a spanning prediction; 0 for one that shares a batch."""
    deadline_us: int
    channel: str
    """The reply channel of its gateway."""
    last_open_us: int
    """When it was last seen open, or was accepted."""
    final: Prediction | None = None
    """The first look-up that showed it as final."""
    is_canceled: bool = False
    is_shortened: bool = False
    is_gone: bool = False

    def is_of(self, batch_id: BatchId) -> bool:
        """Whether a batch contains rows of it."""
        parent, _, index = batch_id.partition(".")
        if parent != self.id.batch_id:
            return False
        return not index or bool(self.n_children) or int(index) == self.id.index

    def observe(self, prediction: Prediction, now_us: int, committed: Committed) -> None:
        """Check a look-up against the earlier ones and the accepted commits."""
        assert not self.is_gone, "a prediction that was gone has returned"
        assert prediction.rows_total == self.n_rows
        if self.final is not None:
            first, now = self.final, prediction
            assert (now.state, now.answers, now.failure) == (first.state, first.answers, first.failure), (
                "a final prediction changed"
            )
            return
        if self.is_canceled:
            assert prediction.state is State.CANCELED, "a canceled prediction has another state"
        if prediction.state not in FINAL_STATES:
            self.last_open_us = now_us
            return
        self.final = prediction
        if prediction.state is State.EXPIRED:
            assert 0 < self.deadline_us < now_us, "it expired before its deadline"
            return
        if prediction.state is State.CANCELED:
            assert self.is_canceled, "it is canceled, but no client canceled it"
            return
        members = self._committed_members(committed)
        if prediction.state is State.SUCCEEDED:
            assert list(prediction.answers) == members, "an answer was not committed"
            assert not self.deadline_us or self.last_open_us <= self.deadline_us, "it succeeded after its deadline"
        else:
            is_poison = prediction.failure is not None and prediction.failure.code == "poison"
            assert is_poison or prediction.failure in members, "a failure was not committed"

    def observe_gone(self, now_us: int) -> None:
        """Check that the store may have deleted its record."""
        seconds = ANSWERED_TTL_SECONDS if self.is_shortened else RESULT_TTL_SECONDS
        assert self.final is not None or self.is_canceled, "an open prediction has disappeared"
        assert now_us - self.last_open_us >= (seconds - 1) * 1_000_000, "a result was deleted too early"
        self.is_gone = True

    def _committed_members(self, committed: Committed) -> list[Answer | Failure | None]:
        batch_id = self.id.batch_id
        if self.n_children:
            children = [child_id(batch_id, index) for index in range(self.n_children)]
            return [committed[child].members[0] if child in committed else None for child in children]
        split_child = child_id(batch_id, self.id.index)
        if split_child in committed:
            return [committed[split_child].members[0]]
        return [committed[batch_id].members[self.id.index]] if batch_id in committed else [None]


@dataclass(slots=True)
class Promises:
    """All promises, with the accepted commits and the latest tokens."""

    made: list[Promise] = field(default_factory=list)
    committed: dict[BatchId, Outcome] = field(default_factory=dict)
    latest_token: dict[BatchId, int] = field(default_factory=dict)

    def claimed(self, batch_id: BatchId, token: int) -> None:
        """Check a granted claim."""
        assert token == self.latest_token.get(batch_id, 0) + 1, "a token was given twice, or skipped"
        assert batch_id not in self.committed, "a committed batch was claimed again"
        self.latest_token[batch_id] = token

    def commit_accepted(self, batch_id: BatchId, token: int, outcome: Outcome) -> None:
        """Check an accepted commit."""
        assert batch_id not in self.committed, "a batch was committed twice"
        assert token == self.latest_token[batch_id], "an attempt before the latest has committed"
        self.committed[batch_id] = outcome
