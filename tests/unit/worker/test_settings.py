"""The worker's settings."""

import pytest
from pydantic import ValidationError

from shared.names import Queue
from worker.celery.alien_messages import AlienMessages
from worker.celery.config import celery_configuration
from worker.settings import WorkerSettings


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        (None, ["interactive", "bulk"]),
        ("bulk", ["bulk"]),
        ("interactive", ["interactive"]),
        ("bulk, interactive", ["interactive", "bulk"]),  # people first, whatever the order
    ],
)
def test_worker_consumes_its_queues_in_their_order(
    monkeypatch: pytest.MonkeyPatch, text: str | None, queues: list[str]
) -> None:
    if text is not None:
        monkeypatch.setenv("SEPAL_WORKER_QUEUES", text)
    aliens = AlienMessages(lambda: None, lambda _: None)
    configured = celery_configuration(WorkerSettings(), "worker", aliens)["task_queues"]
    assert [queue.name for queue in configured] == queues


@pytest.mark.parametrize("text", ["", "bulks", "interactive;bulk"])
def test_other_queues_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SEPAL_WORKER_QUEUES", text)
    with pytest.raises(ValidationError, match="worker_queues"):
        WorkerSettings()


def test_worker_consumes_both_queues_unless_it_is_told_otherwise() -> None:
    assert WorkerSettings().worker_queues == tuple(Queue)
