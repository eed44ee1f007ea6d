"""The worker's transport on a real server: what it lets in, and what is in the list of unacknowledged messages when."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub, get_event_loop, set_event_loop
from structlog.testing import capture_logs

from shared import names
from shared.card import ModelCard
from shared.store.blocking import BlockingTransport
from shared.store.schema import Key
from shared.store.workers import WorkerRegistry
from tests import aliens
from tests.patience import patience
from tests.stack import wait_for
from worker.celery.alien_messages import AlienMessages
from worker.celery.transport import BrokerTransport

GARBAGE = b"garbage"


@pytest.fixture
def announcements(url: str, iris_card: ModelCard) -> Iterator[WorkerRegistry]:
    transport = BlockingTransport.failing_fast(url)
    yield WorkerRegistry(transport, "worker", iris_card, max_attempts=3)
    transport.close()


@pytest.fixture
def set_aside(announcements: WorkerRegistry) -> AlienMessages:
    return AlienMessages(lambda: None, announcements.keep_alien_message)


@pytest.fixture
def connection(url: str, set_aside: AlienMessages) -> Iterator[Connection]:
    with Connection(url, transport=BrokerTransport, transport_options={"alien_messages": set_aside}) as connection:
        yield connection


@pytest.fixture
def channel(server: redis.Redis, connection: Connection) -> Any:
    server.lpush("interactive", good())
    return connection.channel()


def good() -> bytes:
    return json.dumps(aliens.good(names.Queue.INTERACTIVE)).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    before, hub = get_event_loop(), Hub()
    set_event_loop(hub)
    yield hub
    hub.close()
    set_event_loop(before)


def turn(hub: Hub) -> None:
    hub.timer.call_after(0, lambda: None)  # it waits for nothing
    hub.run_once()


def test_delivered_message_is_noted_before_the_loop_waits(server: redis.Redis, channel: Any, hub: Hub) -> None:
    message = channel.basic_get("interactive")
    assert not server.exists("unacked")
    turn(hub)
    wait_for(lambda: server.hkeys("unacked") == [message.delivery_tag.encode()], "the note")  # nobody waits for it
    assert server.zrange("unacked_index", 0, -1) == [message.delivery_tag.encode()]


def test_acknowledged_message_is_struck_out_though_none_follows(server: redis.Redis, channel: Any, hub: Hub) -> None:
    channel.basic_get("interactive").ack()

    def is_struck_out() -> bool:
        turn(hub)
        return not server.exists("unacked", "unacked_index")

    turn(hub)
    wait_for(is_struck_out, "the acknowledgement")


def test_message_given_back_before_it_was_noted_is_delivered_again(server: redis.Redis, channel: Any, hub: Hub) -> None:
    channel.basic_get("interactive").requeue()
    assert server.llen("interactive") == 1
    turn(hub)
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "an empty list")


def test_worker_that_stops_strikes_out_what_was_acknowledged(server: redis.Redis, channel: Any, hub: Hub) -> None:
    message = channel.basic_get("interactive")
    turn(hub)
    message.ack()
    channel.close()
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "the acknowledgement")
    assert not server.exists("interactive")


def test_without_an_event_loop_the_list_is_kept_at_once(server: redis.Redis, channel: Any) -> None:
    message = channel.basic_get("interactive")
    wait_for(lambda: server.hlen("unacked") == 1, "the note")
    message.ack()
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "the acknowledgement")


def test_alien_between_two_messages_goes_to_the_operator_and_they_to_the_worker(
    server: redis.Redis, connection: Connection
) -> None:
    first, second = good(), good()
    server.lpush("interactive", first, b"\xff garbage", second)
    received: list[Any] = []
    with Consumer(connection, [Queue("interactive")], on_message=received.append):
        while len(received) < 2:
            connection.drain_events(timeout=patience())
    assert [message._raw for message in received] == [json.loads(first), json.loads(second)]
    (entry,) = [json.loads(entry) for entry in server.lrange(Key.ALIEN_MESSAGES, 0, -1)]
    assert (entry["source"], entry["bytes"], entry["message"]) == ("interactive", 9, "\\xff garbage")
    assert "no JSON" in entry["reason"]
    assert sorted(server.hkeys("unacked")) == sorted(message.delivery_tag.encode() for message in received)


@pytest.mark.parametrize("note", [GARBAGE, b"{}", b'[{}, "", "interactive"]'])
def test_alien_in_the_list_is_no_obstacle_for_the_others_that_are_given_back(
    server: redis.Redis, channel: Any, note: bytes
) -> None:
    message = channel.basic_get("interactive")
    wait_for(lambda: server.hlen("unacked") == 1, "the note")
    server.hset("unacked", "alien", note)
    server.zadd("unacked_index", {"alien": 2, message.delivery_tag: 1})
    channel.qos.restore_visible(interval=1)
    assert not server.exists("unacked", "unacked_index")
    (given_back,) = server.lrange("interactive", 0, -1)
    assert json.loads(given_back)["headers"]["redelivered"]
    assert json.loads(server.lrange(Key.ALIEN_MESSAGES, 0, -1)[0])["message"] == note.decode()


def test_message_that_was_given_back_is_delivered_again(
    server: redis.Redis, connection: Connection, set_aside: AlienMessages
) -> None:
    server.lpush("interactive", good())
    channel = connection.channel()
    tag = channel.basic_get("interactive").delivery_tag
    channel.qos.restore_by_tag(tag)
    received: list[Any] = []
    with Consumer(channel, [Queue("interactive")], on_message=received.append):
        connection.drain_events(timeout=patience())
    assert [message.delivery_tag for message in received] == [tag]
    assert set_aside.n_seen == 0


def test_last_hundred_aliens_are_kept_for_a_week_and_cut(server: redis.Redis, set_aside: AlienMessages) -> None:
    for number in range(120):
        set_aside.set_aside("bulk", b"%d" % number + b"\xff" * 1_000_000, "too long")
    kept = server.lrange(Key.ALIEN_MESSAGES, 0, -1)
    assert [json.loads(entry)["message"].partition("\\")[0] for entry in kept] == [str(n) for n in range(119, 19, -1)]
    assert max(map(len, kept)) < 16_000
    assert 0 < server.ttl(Key.ALIEN_MESSAGES) <= 7 * 24 * 3600
    assert set_aside.n_seen == 120


def test_flood_of_aliens_is_counted_whole_and_logged_in_part(announcements: WorkerRegistry) -> None:
    counted: list[None] = []
    flooded = AlienMessages(lambda: counted.append(None), announcements.keep_alien_message)
    with capture_logs() as lines:
        for _ in range(200):
            flooded.set_aside("bulk", GARBAGE * 1000, "no JSON")
    assert len(counted) == 200
    assert 10 <= len(lines) < 200
    assert {line["message"] for line in lines} == {(GARBAGE * 1000)[:100].decode()}


def test_alien_that_cannot_be_kept_disturbs_nobody(server: redis.Redis, set_aside: AlienMessages) -> None:
    server.set(Key.ALIEN_MESSAGES, "no list")
    set_aside.set_aside("bulk", GARBAGE, "no JSON")
    assert set_aside.n_seen == 1
