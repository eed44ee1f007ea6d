"""The checks of received messages accept what gateways write and refuse alien messages."""

import json

import pytest
from kombu.utils.json import dumps, loads

from api.messages import CeleryMessages
from shared.ids import child_id, new_batch_id
from shared.names import Queue
from shared.store.records import AlienMessage
from tests import aliens
from worker.celery.messages import check_command, check_unacknowledged, read_task

MALFORMED = {queue: aliens.malformed(queue) for queue in Queue}


@pytest.mark.parametrize("queue", list(Queue))
@pytest.mark.parametrize("index", [None, 0, 65_535, 999_999_999])
def test_gateway_messages_are_decoded_as_kombu_decodes_them(queue: Queue, index: int | None) -> None:
    parent = new_batch_id()
    batch_id = parent if index is None else child_id(parent, index)
    message = CeleryMessages().make_message(batch_id, queue, 1024, 300)
    assert read_task(message.encode(), queue) == loads(message)


def test_message_requeued_by_kombu_is_accepted() -> None:
    message = aliens.good(Queue.BULK)
    message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    assert read_task(str(dumps(message)).encode(), "bulk") == message


def test_unknown_fields_are_accepted() -> None:
    message = aliens.good(Queue.BULK)
    for fields in (message, message["headers"], message["properties"]):
        fields["a new field"] = {"of": ["anything"]}
    assert read_task(json.dumps(message).encode(), "bulk") == message


@pytest.mark.parametrize("queue", list(Queue))
@pytest.mark.parametrize("name", list(MALFORMED[Queue.BULK]))
def test_malformed_message_is_refused(queue: Queue, name: str) -> None:
    with pytest.raises(AlienMessage):
        read_task(MALFORMED[queue][name], queue)


def test_reason_names_the_invalid_field() -> None:
    message = aliens.good(Queue.BULK)
    message["headers"]["retries"] = "many"
    with pytest.raises(AlienMessage, match="retries"):
        read_task(json.dumps(message).encode(), "bulk")


def test_entry_of_an_unacknowledged_message_is_accepted() -> None:
    check_unacknowledged(str(dumps([aliens.good(Queue.BULK), "", "bulk"])).encode())


@pytest.mark.parametrize("entry", [b"garbage", b"[]", b"[{}]", b'[{}, "", "bulk"]'])
def test_malformed_entry_of_an_unacknowledged_message_is_refused(entry: bytes) -> None:
    with pytest.raises(AlienMessage):
        check_unacknowledged(entry)


def test_unacknowledged_message_for_an_exchange_is_refused() -> None:
    with pytest.raises(AlienMessage):
        check_unacknowledged(str(dumps([aliens.good(Queue.BULK), "celeryev", "bulk"])).encode())


@pytest.mark.parametrize("name", list(aliens.commands()))
def test_malformed_command_is_refused(name: str) -> None:
    with pytest.raises(AlienMessage):
        check_command(aliens.commands()[name])
