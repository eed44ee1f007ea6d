"""Messages that no gateway writes: garbage, and good messages with one thing wrong."""

import json
import pickle
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from api.messages import CeleryMessages
from shared.ids import new_batch_id
from shared.names import Queue

HUGE_BYTES: Final = 5_000_000

GARBAGE: Final = {
    "text": b"garbage",
    "nothing": b"",
    "an object": b"{}",
    "an array": b"[]",
    "null": b"null",
    "a number": b"17",
    "a string": b'"sepal.predict_batch"',
    "not a number": b"NaN",
    "a number too long for Python": b"9" * 10_000,
    "half of an object": b'{"body": "W1siQ',
    "bytes that are no UTF-8": b"\xff\xfe\x00\x80",
    "a lone surrogate": b'"\\ud800"',
    "brackets deeper than a parser goes": b"[" * 10_000,
    "megabytes": b"x" * HUGE_BYTES,
    "a pickle": pickle.dumps({"body": "W10="}),
    "a number of a batch and no more": b'{"sequence":1}',
}


def good(queue: Queue) -> dict[str, Any]:
    """What a gateway writes, for a batch that is not on record."""
    message: dict[str, Any] = json.loads(_publisher().message(new_batch_id(), queue, 1, 1))
    return {"sequence": 1, **message}


def malformed(queue: Queue) -> dict[str, bytes]:
    """Messages for a queue, by what is wrong with them."""
    return {**GARBAGE, **{name: _edited(queue, edit) for name, edit in _edits(queue).items()}}


def _edited(queue: Queue, edit: Callable[[dict[str, Any]], Any]) -> bytes:
    message = good(queue)
    edit(message)
    return json.dumps(message).encode()


def _edits(queue: Queue) -> dict[str, Callable[[dict[str, Any]], Any]]:
    other = Queue.BULK if queue is Queue.INTERACTIVE else Queue.INTERACTIVE
    links = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    task = {"task": "sepal.predict_batch", "args": [], "kwargs": {}}

    def without(*path: str) -> Callable[[dict[str, Any]], Any]:
        return lambda message: _at(message, path[:-1]).pop(path[-1])

    def put(value: Any, *path: str) -> Callable[[dict[str, Any]], Any]:
        return lambda message: _at(message, path[:-1]).update({path[-1]: value})

    def call(make: Callable[[str], Any]) -> Callable[[dict[str, Any]], Any]:
        def edit(message: dict[str, Any]) -> None:
            content = json.dumps(make(message["headers"]["id"]))
            message["body"] = b64encode(content.encode()).decode()

        return edit

    return {
        "no properties": without("properties"),
        "properties of another kind": put([], "properties"),
        "no headers": without("headers"),
        "null for headers": put(None, "headers"),
        "no body": without("body"),
        "no task": without("headers", "task"),
        "no id": without("headers", "id"),
        "no delivery tag": without("properties", "delivery_tag"),
        "no delivery": without("properties", "delivery_info"),
        "an unknown task": put("celery.backend_cleanup", "headers", "task"),
        "a task that is no name": put({}, "headers", "task"),
        "a body in no base64": put("%%%", "body"),
        "a body that is a number": put(5, "body"),
        "a body of another encoding": put("utf-8", "properties", "body_encoding"),
        "a body of an unknown encoding": put("rot13", "properties", "body_encoding"),
        "a body that is no JSON": put(b64encode(b"garbage").decode(), "body"),
        "a body of the first protocol": put(b64encode(json.dumps(task).encode()).decode(), "body"),
        "a pickle for a body": put(b64encode(pickle.dumps(([], {}, links))).decode(), "body"),
        "a pickle that says so": put("application/x-python-serialize", "content-type"),
        "text that says so": put("text/plain", "content-type"),
        "another character set": put("utf-16", "content-encoding"),
        "no argument": call(lambda _: [[], {}, links]),
        "two arguments": call(lambda own: [[own, own], {}, links]),
        "an argument that is no string": call(lambda _: [[17], {}, links]),
        "an argument that is no id": call(lambda own: [[own + " "], {}, links]),
        "an argument that is another id": call(lambda own: [[own[::-1]], {}, links]),
        "a keyword": call(lambda own: [[own], {"rows": 1}, links]),
        "a callback": call(lambda own: [[own], {}, {**links, "callbacks": [task]}]),
        "a chord": call(lambda own: [[own], {}, {**links, "chord": task}]),
        "an id that is no string": put(17, "headers", "id"),
        "an id that is none": put("../../etc", "headers", "id"),
        "an id with a line's end": put("AaIO3oy4HgeGuNGY3hTy\n", "headers", "id"),
        "a delivery tag that is a number": put(17, "properties", "delivery_tag"),
        "a delivery tag that is a list": put([1], "properties", "delivery_tag"),
        "a delivery that is a string": put("here", "properties", "delivery_info"),
        "another queue's routing key": put(other.value, "properties", "delivery_info", "routing_key"),
        "an exchange": put("celeryev", "properties", "delivery_info", "exchange"),
        "a priority": put("high", "properties", "priority"),
        "an expiry": put("2001-01-01T00:00:00", "headers", "expires"),
        "an expiry that is no time": put({}, "headers", "expires"),
        "a time to run at": put("2999-01-01T00:00:00", "headers", "eta"),
        "a time that is none": put("tomorrow", "headers", "eta"),
        "a group": put("a group", "headers", "group"),
        "retries": put("many", "headers", "retries"),
        "time limits": put("short", "headers", "timelimit"),
        "a time limit of nothing": put([0, 0], "headers", "timelimit"),
        "stamps": put(["monitoring"], "headers", "stamped_headers"),
        "a compression": put("gzip", "headers", "compression"),
        "something to show that is no text": put([1], "headers", "argsrepr"),
        "an object of a type": put({"__type__": "uuid", "__value__": 5}, "headers", "origin"),
        "megabytes to show": put("x" * HUGE_BYTES, "headers", "kwargsrepr"),
    }


def commands() -> dict[str, bytes]:
    """Broadcasts that nothing which speaks Celery's protocol sends, by what is wrong with them."""

    def command(content: Any, **fields: Any) -> bytes:
        properties = {"delivery_tag": good(Queue.BULK)["properties"]["delivery_tag"], "body_encoding": "base64"}
        message = {
            "body": b64encode(json.dumps(content).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 1},
            "properties": {**properties, "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}},
        }
        return json.dumps({**message, **fields}).encode()

    return {
        **GARBAGE,
        "no properties": command({"method": "ping"}, properties=None),
        "a clock that is none": command({"method": "ping"}, headers={"clock": "noon"}),
        "a clock of the far future": command({"method": "ping"}, headers={"clock": 10**300}),
        "a pickle": command({"method": "ping"}, **{"content-type": "application/x-python-serialize"}),
        "a list": command([]),
        "no method": command({}),
        "a method that is none": command({"method": []}),
        "arguments that are a list": command({"method": "ping", "arguments": [1]}),
        "a destination that is a number": command({"method": "ping", "destination": 5}),
        "an unknown matcher": command({"method": "ping", "pattern": "*", "matcher": "magic"}),
        "nowhere to reply to": command({"method": "ping", "reply_to": {}}),
    }


def announcements() -> dict[str, bytes]:
    """What no script publishes on a reply channel, by what is wrong with it."""
    ends = {
        "an id alone": b"",
        "no outcome and no room for one": b" 1",
        "a time that is none": b" noon ",
        "an outcome that is none": b" 1 garbage",
        "an outcome of another form": b" 1 \x93\x01\x02\x03",
    }
    named = {name: new_batch_id().encode() + end for name, end in ends.items()}
    return {**GARBAGE, "an id that is no text": b"\xff 1 ", **named}


@cache
def _publisher() -> CeleryMessages:
    return CeleryMessages()


def _at(message: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        message = message[name]
    return message
