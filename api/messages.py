"""Writes the Celery messages that workers consume; the gateway uses Celery for nothing else.

When the gateway starts, Celery and kombu make one message for each queue, on kombu's in-memory transport. The message
of a batch is a copy with the batch's id and size filled in. So the installed Celery determines the format, and a copy
costs a twentieth of a new message (docs/decisions/0006-messages-by-template.md).
"""

import uuid
from base64 import b64encode
from typing import Final

from celery import Celery
from kombu import Connection
from kombu.utils.json import dumps, loads

from shared.ids import BatchId
from shared.names import PREDICT_BATCH, Queue

_BATCH_ID: Final = "{batch_id}"
_QUOTED_ID_BASE64: Final = "{quoted_id_base64}"
_N_ROWS: Final = "{n_rows}"
_KWARGSREPR: Final = "{kwargsrepr}"
_BODY: Final = "{body}"
_DELIVERY_TAG: Final = "{delivery_tag}"


class CeleryMessages:
    """Writes Celery messages without a connection to the broker."""

    def __init__(self) -> None:
        self._templates = {queue: _Template(_new_message(queue, BatchId(_BATCH_ID), _KWARGSREPR)) for queue in Queue}

    def make_message(self, batch_id: BatchId, queue: Queue, n_rows: int, n_predictions: int) -> str:
        """Write the message that tells a worker to run a batch, as an element of the broker's list.

        Args:
            batch_id: the only argument of the task.
            queue: the queue that the message is for.
            n_rows: for Flower only.
            n_predictions: number of predictions with rows in this batch, for Flower only.
        """
        return self._templates[queue].fill(batch_id, _kwargsrepr(queue, n_rows, n_predictions))

    def template(self, queue: Queue) -> str:
        """Return the message of a batch of one prediction with placeholders, which the store's scripts fill in.

        They are `{batch_id}`, `{n_rows}` (for Flower), `{delivery_tag}` (36 hexadecimal digits) and, within the body,
        `{quoted_id_base64}`: the base64 of the id, a quotation mark, and spaces up to a multiple of three characters.
        """
        return self._templates[queue].fill_for_scripts(_kwargsrepr(queue, _N_ROWS, 1))


def _kwargsrepr(queue: Queue, n_rows: int | str, n_predictions: int) -> str:
    """Write the keyword arguments that Flower shows; the task itself has none."""
    return f"{{'queue': '{queue.value}', 'rows': {n_rows}, 'predictions': {n_predictions}}}"


def _new_message(queue: Queue, batch_id: BatchId, kwargsrepr: str) -> str:
    """Make a message with Celery and kombu."""
    app = Celery("sepal", set_as_current=False)
    with Connection("memory://") as connection:
        channel = connection.channel()
        app.send_task(
            PREDICT_BATCH,
            args=(batch_id,),
            task_id=batch_id,
            queue=queue.value,
            ignore_result=True,
            kwargsrepr=kwargsrepr,
            producer=connection.Producer(channel),
        )
        return str(dumps(channel._get(queue.value)))


class _Template:
    def __init__(self, message: str) -> None:
        fields = loads(message)
        # Like kombu's Redis transport, the in-memory transport encodes the body in base64.
        body = Connection("memory://").channel().decode_body(fields["body"], "base64").decode()
        fields["body"] = _BODY
        fields["properties"]["delivery_tag"] = _DELIVERY_TAG
        self._body = _as_format_string(body)
        self._message = _as_format_string(str(dumps(fields)))

    def fill(self, batch_id: BatchId, kwargsrepr: str) -> str:
        body = b64encode((self._body % {_BATCH_ID: batch_id}).encode()).decode()
        values = {_BATCH_ID: batch_id, _KWARGSREPR: kwargsrepr, _BODY: body, _DELIVERY_TAG: str(uuid.uuid4())}
        return self._message % values

    def fill_for_scripts(self, kwargsrepr: str) -> str:
        before, after = (self._body % {_BATCH_ID: _BATCH_ID}).split(f'{_BATCH_ID}"')
        # Base64 encodes three bytes as four characters: parts of whole groups can be joined.
        padded = " " * (-len(before) % 3) + before
        body = b64encode(padded.encode()).decode() + _QUOTED_ID_BASE64 + b64encode(after.encode()).decode()
        values = {_BATCH_ID: _BATCH_ID, _KWARGSREPR: kwargsrepr, _BODY: body, _DELIVERY_TAG: _DELIVERY_TAG}
        return self._message % values


def _as_format_string(text: str) -> str:
    text = text.replace("%", "%%")
    for placeholder in (_BATCH_ID, _KWARGSREPR, _BODY, _DELIVERY_TAG):
        text = text.replace(placeholder, f"%({placeholder})s")
    return text
