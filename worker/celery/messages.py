"""The form of what a worker lets in: a gateway's message, and a command of Celery's remote control.

Celery and kombu take what they read at its word: a message without its properties costs them their connection, and one
that is no JSON ends the worker. So each is compared with what is written for a worker before they see it. Fields
that nobody here reads may be anything, since another version of Celery may add some.
"""

import re
from binascii import a2b_base64
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, defstruct

from shared.names import PREDICT_BATCH
from shared.store.records import AlienMessage

MAX_BYTES: Final = 16 * 1024
"""A gateway's message has 1,100, a command few more."""

# kombu's JSON makes objects of what carries this name, and raises what it likes; nothing here ever sends one.
_OBJECT_MARK: Final = b'"__type__"'

_BatchId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{20}(\.[0-9]{1,5})?\Z")]
_Tag = Annotated[str, Meta(pattern=r"^[0-9a-f-]{36}\Z")]
_Clock = Annotated[int, Meta(ge=0, lt=2**53)]

# Each would have Celery do something else than run the task, now, once.
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
_DASHES: Final = {"content_type": "content-type", "content_encoding": "content-encoding"}
_Task = defstruct("_Task", [*_ENVELOPE, ("headers", _Headers), ("properties", _Properties)], rename=_DASHES)

_Nothing = defstruct("_Nothing", [], forbid_unknown_fields=True)
_Links = defstruct(
    "_Links", [(name, None, None) for name in ("callbacks", "errbacks", "chain", "chord")], forbid_unknown_fields=True
)
_Call = defstruct(
    "_Call",
    [("arguments", tuple[_BatchId]), ("keywords", _Nothing), ("links", _Links)],
    array_like=True,
    forbid_unknown_fields=True,
)
_call: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_Call)

_CommandHeaders = defstruct("_CommandHeaders", [("clock", _Clock | None, None), ("compression", None, None)])
_CommandProperties = defstruct(
    "_CommandProperties",
    [("delivery_tag", _Tag), ("delivery_info", dict[str, Any]), ("body_encoding", Literal["base64"])],
)
_CommandEnvelope = defstruct(
    "_CommandEnvelope",
    [*_ENVELOPE, ("headers", _CommandHeaders), ("properties", _CommandProperties)],
    rename=_DASHES,
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


def read_task(raw: bytes, queue: str) -> Any:
    """Read a message that was popped from a queue.

    Returns:
        What kombu takes for a message.

    Raises:
        AlienMessage: no gateway has written it for this queue.
    """
    message = _parse(raw)
    _check_task(message, queue)
    return message


def check_note(raw: bytes) -> None:
    """Look at kombu's note of a message that was taken: the message, its exchange and its routing key.

    Raises:
        AlienMessage: it is none of a gateway's message.
    """
    message, _, routing_key = _convert(_parse(raw), tuple[Any, Literal[""], str])
    _check_task(message, routing_key)


def check_command(raw: bytes) -> None:
    """Look at a command that was broadcast.

    Raises:
        AlienMessage: nothing that speaks Celery's protocol has sent it.
    """
    command = _convert(_parse(raw), _CommandEnvelope)
    _convert(_parse(_decode_base64(command.body)), _Command)


def _check_task(message: Any, queue: str) -> None:
    task = _convert(message, _Task)
    if task.properties.delivery_info.routing_key != queue:
        raise AlienMessage("its routing key is another queue's")
    try:
        call = _call.decode(_decode_base64(task.body))
    except (ValueError, RecursionError) as error:
        raise AlienMessage(f"body: {error}") from error
    if call.arguments != (task.headers.id,):
        raise AlienMessage("its argument is not its id")


def _parse(raw: bytes) -> Any:
    if len(raw) > MAX_BYTES:
        raise AlienMessage(f"longer than {MAX_BYTES:,} bytes")
    if _OBJECT_MARK in raw:
        raise AlienMessage("it names a type to be made of it")
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:  # of UTF-8 and of JSON; nested too deeply
        raise AlienMessage(f"no JSON: {error}") from error


def _convert(value: Any, form: Any) -> Any:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise AlienMessage(str(error)) from error


def _decode_base64(text: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise AlienMessage(f"body: {error}") from error
