"""The worker's transport on a real server: what is in the broker's list of unacknowledged messages, and when."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.asynchronous import Hub, get_event_loop, set_event_loop

from tests.stack import wait_for
from worker.transport import Transport


@pytest.fixture
def channel(url: str) -> Iterator[Any]:
    with Connection(url, transport=Transport) as connection:
        with connection.SimpleQueue("interactive") as queue:
            queue.put("a batch's id")
        yield connection.channel()


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
