"""`python -m api.http.reader_process`: reads bodies for a gateway process, one after the other, until stdin ends.

A request is `REQUEST_HEAD`, the card as JSON if it has changed, and the body. A reply is `REPLY_HEAD`, a `Reply` as
MessagePack, and the content of its parts. `api/http/large_bodies.py` sends the requests.
"""

import os
import struct
import sys
import traceback
from typing import BinaryIO, Final

import msgspec

from api.http.rows import BodyReader, ReadBody
from shared.card import ModelCard
from shared.errors import Fault, InvalidRows, MalformedJson
from shared.names import Output
from shared.rows import EncodedRows, Encoding

REQUEST_HEAD: Final = struct.Struct("<QQ")
"""The size of the card, 0 if it has not changed, and the size of the body."""
REPLY_HEAD: Final = struct.Struct("<Q")
"""The size of the `Reply`."""
_NICENESS: Final = 10  # the gateway's event loop has priority


class Part(msgspec.Struct, frozen=True):
    """The encoded rows of one batch; their content follows the reply."""

    n_rows: int
    n_bytes: int
    encoding: Encoding


class Reply(msgspec.Struct, frozen=True):
    """The rows of a body and its outputs, or why it was refused."""

    parts: list[Part] = []
    outputs: tuple[Output, ...] = ()
    faults: list[Fault] | None = None
    """The faults of `InvalidRows`."""
    malformed: str | None = None
    """The detail of `MalformedJson`."""
    bug: str | None = None
    """The traceback of any other error."""


def main() -> None:
    """Serve requests until the gateway closes stdin or dies."""
    os.nice(_NICENESS)
    reader = BodyReader(int(sys.argv[1]), int(sys.argv[2]))
    card: ModelCard | None = None
    while head := sys.stdin.buffer.read(REQUEST_HEAD.size):
        n_card, n_body = REQUEST_HEAD.unpack(head)
        if n_card:
            card = ModelCard.model_validate_json(sys.stdin.buffer.read(n_card))
        body = sys.stdin.buffer.read(n_body)
        if card is None or len(body) < n_body:  # the gateway died while it was writing
            return
        _write_reply(sys.stdout.buffer, *_read_body(reader, body, card))


def _read_body(reader: BodyReader, body: bytes, card: ModelCard) -> tuple[Reply, list[EncodedRows]]:
    try:
        read: ReadBody = reader(body, card)
    except InvalidRows as refused:
        return Reply(faults=refused.faults), []
    except MalformedJson as refused:
        return Reply(malformed=str(refused)), []
    except Exception:
        return Reply(bug=traceback.format_exc()), []
    parts = [Part(rows.n_rows, len(rows.content), rows.encoding) for rows in read.rows]
    return Reply(parts, read.outputs), read.rows


def _write_reply(stream: BinaryIO, reply: Reply, rows: list[EncodedRows]) -> None:
    encoded = msgspec.msgpack.encode(reply)
    stream.write(REPLY_HEAD.pack(len(encoded)) + encoded)
    for part in rows:
        stream.write(part.content)
    stream.flush()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):  # the gateway has exited
        os._exit(0)  # without flushing stdout again
