"""A real worker sets alien messages aside and continues."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from shared.names import Queue
from shared.store.schema import Key
from tests import aliens
from tests.metrics import Metrics
from tests.stack import Gateway, Part, Stack, free_port, wait_for

ROW = [[4.8, 3, 1.4, 0.3]]
MANY_ROWS = ROW * 2000  # two batches, on the queue `bulk`


class Site(NamedTuple):
    """A stack of one gateway and one worker, and the port of the worker's metrics."""

    stack: Stack
    gateway: Gateway
    worker: Part
    worker_port: int

    @property
    def n_alien_messages(self) -> float:
        return Metrics(self.worker_port).value("alien_messages_total")

    @property
    def pids(self) -> list[int]:
        """The pids of the worker and its pool process."""
        return [self.worker.popen.pid, *(child.pid for child in self.worker.process.children())]

    @property
    def n_connects(self) -> int:
        """How often the worker has connected to the broker."""
        return self.worker.log.read_text().count("Connected to ")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, iris_dir: Path) -> Iterator[Site]:
    stack = Stack(tmp_path_factory.mktemp("aliens"), iris_dir)
    try:
        stack.start_broker()
        port = free_port()
        worker = stack.start_worker(worker_http_port=port)
        yield Site(stack, stack.start_gateway().wait_until_ready(), worker, port)
    finally:
        stack.stop()


@pytest.fixture
def undisturbed(site: Site) -> Iterator[None]:
    """Check that the worker keeps its processes and its connection, goes on predicting, and logs no traceback."""
    before = site.pids
    yield
    assert site.gateway.predict(ROW).status_code == 200
    assert site.gateway.predict(MANY_ROWS).status_code == 200
    assert site.pids == before
    assert site.n_connects == 1
    assert "Traceback" not in site.worker.log.read_text()


def test_alien_message_is_logged_in_one_short_line(site: Site) -> None:
    site.stack.redis.lpush("bulk", b"a marked message " + b"x" * 1_000_000)
    lines = wait_for(
        lambda: [line for line in site.worker.log.read_text().splitlines() if "a marked message" in line],
        "the line in the log",
    )
    assert len(lines) == 1
    assert "[warning" in lines[0]
    assert len(lines[0]) < 1000


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("queue", list(Queue))
def test_alien_messages_in_a_queue_are_set_aside_while_predictions_are_answered(site: Site, queue: Queue) -> None:
    rows = {Queue.INTERACTIVE: ROW, Queue.BULK: MANY_ROWS}[queue]
    malformed, before = aliens.malformed(queue), site.n_alien_messages
    for raw in malformed.values():
        site.stack.redis.lpush(queue.value, raw)
    assert site.gateway.predict(rows).status_code == 200  # its message is behind the alien ones
    wait_for(lambda: site.n_alien_messages == before + len(malformed), "the count of all")
    assert site.stack.redis.llen(queue.value) == 0
    wait_for(lambda: not list(site.stack.redis.scan_iter(f"{Key.UNACKED}worker*")), "the acknowledgements")
    assert site.stack.redis.llen(Key.ALIEN_MESSAGES) >= min(len(malformed), 100)


@pytest.mark.usefixtures("undisturbed")
def test_alien_broadcasts_are_set_aside(site: Site) -> None:
    commands, before = aliens.commands(), site.n_alien_messages
    for raw in commands.values():
        assert site.stack.redis.publish("/0.celery.pidbox", raw) == 1
    wait_for(lambda: site.n_alien_messages == before + len(commands), "the count of all")


@pytest.mark.usefixtures("undisturbed")
def test_alien_entry_in_the_list_of_unacknowledged_messages_is_set_aside(site: Site) -> None:
    worker = cast(bytes, site.stack.redis.hkeys(Key.WORKERS)[0]).decode()
    before = site.n_alien_messages
    site.stack.redis.hset(Key.UNACKED + worker, "alien", b"garbage")
    site.stack.redis.zadd(Key.UNACKED_INDEX + worker, {"alien": 1})
    wait_for(lambda: site.n_alien_messages == before + 1, "kombu's next sweep")
