"""The gateway's only door to Celery: writes the messages that workers consume.

Celery and kombu make one message for each queue, on kombu's in-memory transport, when the gateway starts; a
batch's message is that one with its own id and size filled in. So the format is always the installed Celery's, and a
message costs a twentieth of what making it anew would (docs/decisions/0006-messages-by-template.md).
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
_SHOWN: Final = "{shown}"
_BODY: Final = "{body}"
_DELIVERY_TAG: Final = "{delivery_tag}"


class CeleryMessages:
    """Writes Celery messages without a connection to the broker."""

    def __init__(self) -> None:
        self._templates = {queue: _Template(make_message(queue, BatchId(_BATCH_ID), _SHOWN)) for queue in Queue}

    def message(self, batch_id: BatchId, queue: Queue, n_rows: int, n_predictions: int) -> str:
        """Write the message that has a worker run this batch, as it stands in the broker's list.

        Args:
            batch_id: all that the worker is told.
            queue: the list that it is for.
            n_rows: for Flower, as is the next.
            n_predictions: how many have rows in this batch.
        """
        return self._templates[queue].fill(batch_id, _shown(queue, n_rows, n_predictions))


def _shown(queue: Queue, n_rows: int, n_predictions: int) -> str:
    """What Flower shows as the task's keyword arguments; it really has none."""
    return f"{{'queue': '{queue.value}', 'rows': {n_rows}, 'predictions': {n_predictions}}}"


def make_message(queue: Queue, batch_id: BatchId, shown: str) -> str:
    """Have Celery and kombu make a message from scratch."""
    app = Celery("sepal", set_as_current=False)
    with Connection("memory://") as connection:
        channel = connection.channel()
        app.send_task(
            PREDICT_BATCH,
            args=(batch_id,),
            task_id=batch_id,
            queue=queue.value,
            ignore_result=True,
            kwargsrepr=shown,
            producer=connection.Producer(channel),
        )
        return str(dumps(channel._get(queue.value)))


class _Template:
    def __init__(self, message: str) -> None:
        fields = loads(message)
        # The in-memory transport encodes the body as kombu's Redis transport does: in base64.
        body = Connection("memory://").channel().decode_body(fields["body"], "base64").decode()
        fields["body"] = _BODY
        fields["properties"]["delivery_tag"] = _DELIVERY_TAG
        self._body = _with_gaps(body)
        self._message = _with_gaps(str(dumps(fields)))

    def fill(self, batch_id: BatchId, shown: str) -> str:
        body = b64encode((self._body % {_BATCH_ID: batch_id}).encode()).decode()
        filling = {_BATCH_ID: batch_id, _SHOWN: shown, _BODY: body, _DELIVERY_TAG: str(uuid.uuid4())}
        return self._message % filling


def _with_gaps(text: str) -> str:
    text = text.replace("%", "%%")
    for gap in (_BATCH_ID, _SHOWN, _BODY, _DELIVERY_TAG):
        text = text.replace(gap, f"%({gap})s")
    return text
