"""The door of a worker: what a gateway writes is let in, and nothing that differs where it matters."""

import json

import pytest
from kombu.utils.json import dumps, loads

from api.messages import CeleryMessages
from shared.ids import child_id, new_batch_id
from shared.names import Queue
from shared.store.records import AlienMessage
from tests import aliens
from worker.celery.messages import check_command, check_note, read_task


@pytest.mark.parametrize("queue", list(Queue))
@pytest.mark.parametrize("number", [None, 0, 65_535])
def test_gateways_messages_are_let_in_as_kombu_reads_them(queue: Queue, number: int | None) -> None:
    alone = new_batch_id()
    batch_id = alone if number is None else child_id(alone, number)
    message = CeleryMessages().message(batch_id, queue, 1024, 300)
    assert read_task(message.encode(), queue) == loads(message)


def test_message_that_kombu_gives_back_is_let_in_again() -> None:
    message = aliens.good(Queue.BULK)
    message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    assert read_task(str(dumps(message)).encode(), "bulk") == message


def test_fields_that_another_version_of_celery_adds_are_let_in() -> None:
    message = aliens.good(Queue.BULK)
    for place in (message, message["headers"], message["properties"]):
        place["a new field"] = {"of": ["anything"]}
    assert read_task(json.dumps(message).encode(), "bulk") == message


@pytest.mark.parametrize("queue", list(Queue))
@pytest.mark.parametrize("name", list(aliens.malformed(Queue.BULK)))
def test_message_that_no_gateway_writes_is_an_alien(queue: Queue, name: str) -> None:
    with pytest.raises(AlienMessage):
        read_task(aliens.malformed(queue)[name], queue)


def test_reason_names_the_place() -> None:
    message = aliens.good(Queue.BULK)
    message["headers"]["retries"] = "many"
    with pytest.raises(AlienMessage, match="retries"):
        read_task(json.dumps(message).encode(), "bulk")


def test_kombus_note_of_a_message_is_known() -> None:
    check_note(str(dumps([aliens.good(Queue.BULK), "", "bulk"])).encode())


@pytest.mark.parametrize("note", [b"garbage", b"[]", b"[{}]", b'[{}, "", "bulk"]'])
def test_other_notes_are_aliens(note: bytes) -> None:
    with pytest.raises(AlienMessage):
        check_note(note)


def test_note_of_a_message_for_an_exchange_is_an_alien() -> None:
    with pytest.raises(AlienMessage):
        check_note(str(dumps([aliens.good(Queue.BULK), "celeryev", "bulk"])).encode())


@pytest.mark.parametrize("name", list(aliens.commands()))
def test_other_broadcasts_are_aliens(name: str) -> None:
    with pytest.raises(AlienMessage):
        check_command(aliens.commands()[name])
