"""Checks the messages that a worker receives: those of gateways, and commands of Celery's remote control.

Celery and kombu check too little: a message without properties makes Celery reconnect, and one that is not JSON ends
the worker. So every message is checked before kombu processes it. Fields that Sepal does not read are not checked,
since another version of Celery may add some.
"""

import re
from binascii import a2b_base64
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, defstruct

from shared.names import PREDICT_BATCH
from shared.store.records import AlienMessage

MAX_MESSAGE_BYTES: Final = 16 * 1024
"""The longest valid message. A gateway's has 1,100 bytes, a remote-control command a few more."""

# kombu's JSON decoder builds an object where it finds this key, and may raise any exception; Sepal never sends it.
_TYPE_KEY: Final = b'"__type__"'

_BatchId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{20}(\.[0-9]{1,9})?\Z")]
_Tag = Annotated[str, Meta(pattern=r"^[0-9a-f-]{36}\Z")]
_Clock = Annotated[int, Meta(ge=0, lt=2**53)]

# A value in any of these headers would make Celery do more than run the task once, immediately.
_NULL_HEADERS: Final = (
    "shadow",
    "eta",
    "expires",
    "group",
    "group_index",
    "parent_id",
    "stamped_headers",
    "compression",
)

_Headers = defstruct(
    "_Headers",
    [
        ("task", Annotated[str, Meta(pattern=rf"^{re.escape(PREDICT_BATCH)}\Z")]),
        ("id", _BatchId),
        *((name, None, None) for name in _NULL_HEADERS),
        ("root_id", str | None, None),
        ("retries", Literal[0], 0),
        ("timelimit", tuple[None, None] | None, None),
        ("ignore_result", bool, True),
        ("argsrepr", str, ""),
        ("kwargsrepr", str, ""),
        ("stamps", dict[str, None], {}),
    ],
)
_DeliveryInfo = defstruct("_DeliveryInfo", [("exchange", Literal[""]), ("routing_key", str)])
_Properties = defstruct(
    "_Properties",
    [
        ("delivery_tag", _Tag),
        ("delivery_info", _DeliveryInfo),
        ("body_encoding", Literal["base64"]),
        ("priority", Literal[0]),
        ("correlation_id", str | None, None),
        ("reply_to", str | None, None),
    ],
)
_ENVELOPE: Final = [
    ("body", str),
    ("content_type", Literal["application/json"]),
    ("content_encoding", Literal["utf-8"]),
]
_DASHED_NAMES: Final = {"content_type": "content-type", "content_encoding": "content-encoding"}
_Task = defstruct("_Task", [*_ENVELOPE, ("headers", _Headers), ("properties", _Properties)], rename=_DASHED_NAMES)

_NoKeywords = defstruct("_NoKeywords", [], forbid_unknown_fields=True)
_Links = defstruct(
    "_Links", [(name, None, None) for name in ("callbacks", "errbacks", "chain", "chord")], forbid_unknown_fields=True
)
_Call = defstruct(
    "_Call",
    [("arguments", tuple[_BatchId]), ("keywords", _NoKeywords), ("links", _Links)],
    array_like=True,
    forbid_unknown_fields=True,
)
_call_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_Call)

_CommandHeaders = defstruct("_CommandHeaders", [("clock", _Clock | None, None), ("compression", None, None)])
_CommandProperties = defstruct(
    "_CommandProperties",
    [("delivery_tag", _Tag), ("delivery_info", dict[str, Any]), ("body_encoding", Literal["base64"])],
)
_CommandEnvelope = defstruct(
    "_CommandEnvelope",
    [*_ENVELOPE, ("headers", _CommandHeaders), ("properties", _CommandProperties)],
    rename=_DASHED_NAMES,
)
_ReplyTo = defstruct("_ReplyTo", [("exchange", str), ("routing_key", str)])
_Command = defstruct(
    "_Command",
    [
        ("method", str),
        ("arguments", dict[str, Any] | None, None),
        ("destination", list[str] | None, None),
        ("pattern", str | None, None),
        ("matcher", Literal["glob", "pcre"] | None, None),
        ("reply_to", _ReplyTo | None, None),
        ("ticket", str | None, None),
    ],
)


def read_task(raw_message: bytes, queue: str) -> Any:
    """Decode and check a message that was popped from a queue.

    Returns:
        The decoded message, as kombu expects it.

    Raises:
        AlienMessage: it is not a message of a gateway for this queue.
    """
    message = _parse_json(raw_message)
    _check_task(message, queue)
    return message


def check_unacknowledged(raw_message: bytes) -> None:
    """Check an entry of kombu's list of unacknowledged messages: a message, its exchange and its routing key.

    Raises:
        AlienMessage: it is not a message of a gateway.
    """
    message, _, routing_key = _validate(_parse_json(raw_message), tuple[Any, Literal[""], str])
    _check_task(message, routing_key)


def check_command(raw_message: bytes) -> None:
    """Check a broadcast command of Celery's remote control.

    Raises:
        AlienMessage: it does not follow Celery's protocol.
    """
    command = _validate(_parse_json(raw_message), _CommandEnvelope)
    _validate(_parse_json(_decode_base64(command.body)), _Command)


def _check_task(message: Any, queue: str) -> None:
    task = _validate(message, _Task)
    if task.properties.delivery_info.routing_key != queue:
        raise AlienMessage("its routing key is that of another queue")
    try:
        call = _call_decoder.decode(_decode_base64(task.body))
    except (ValueError, RecursionError) as error:
        raise AlienMessage(f"body: {error}") from error
    if call.arguments != (task.headers.id,):
        raise AlienMessage("its argument differs from its id")


def _parse_json(raw_message: bytes) -> Any:
    if len(raw_message) > MAX_MESSAGE_BYTES:
        raise AlienMessage(f"longer than {MAX_MESSAGE_BYTES:,} bytes")
    if _TYPE_KEY in raw_message:
        raise AlienMessage('it contains the key "__type__"')
    try:
        return msgspec.json.decode(raw_message)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested too deeply
        raise AlienMessage(f"not valid JSON: {error}") from error


def _validate(value: Any, schema: Any) -> Any:
    try:
        return msgspec.convert(value, schema)
    except msgspec.ValidationError as error:
        raise AlienMessage(str(error)) from error


def _decode_base64(text: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise AlienMessage(f"body: {error}") from error
