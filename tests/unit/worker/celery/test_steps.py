"""Bootsteps of the worker's consumer."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import BrokerUnavailable
from worker.celery.steps import ImmediateWriteStep, _read_consumer_state, make_heartbeat_step


def test_task_is_written_at_once_to_idle_pool_processes() -> None:
    tasks: list[str] = []
    writable: list[list[int]] = []
    pool = SimpleNamespace(_quick_put=tasks.append, _all_inqueues={3, 4}, _active_writes={4})
    consumer: Any = SimpleNamespace(pool=SimpleNamespace(_pool=pool))
    hub = SimpleNamespace(consolidate_callback=writable.append)
    ImmediateWriteStep(consumer).register_with_event_loop(consumer, hub)
    pool._quick_put("a task")
    assert tasks == ["a task"]
    assert writable == [[3]]


def test_consumer_that_takes_only_alien_messages_is_not_idle() -> None:
    before, after = (_read_consumer_state([1], n_loaded=1, n_alien_messages=number) for number in (1, 3))
    assert after.n_started - before.n_started == 2


def test_broker_lost_at_start_makes_celery_reconnect() -> None:
    def forget_deliveries() -> None:
        raise BrokerUnavailable

    unused: Any = None
    step = make_heartbeat_step(unused, unused, unused, forget_deliveries, unused, unused)
    consumer: Any = SimpleNamespace()
    with pytest.raises(ConnectionError):
        step(consumer).start(consumer)
