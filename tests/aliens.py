"""Alien messages: garbage, and valid messages with one change."""

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
    "an empty message": b"",
    "an object": b"{}",
    "an array": b"[]",
    "null": b"null",
    "a number": b"17",
    "a string": b'"sepal.predict_batch"',
    "NaN": b"NaN",
    "a number with more digits than Python reads": b"9" * 10_000,
    "a truncated object": b'{"body": "W1siQ',
    "bytes that are not UTF-8": b"\xff\xfe\x00\x80",
    "a lone surrogate": b'"\\ud800"',
    "brackets nested deeper than a parser reads": b"[" * 10_000,
    "megabytes": b"x" * HUGE_BYTES,
    "a pickle": pickle.dumps({"body": "W10="}),
    "a sequence number alone": b'{"sequence":1}',
}


def good(queue: Queue) -> dict[str, Any]:
    """Return a message as a gateway writes it, for a batch that the store does not have."""
    message: dict[str, Any] = json.loads(_publisher().make_message(new_batch_id(), queue, 1, 1))
    return {"sequence": 1, **message}


def malformed(queue: Queue) -> dict[str, bytes]:
    """Return alien messages for a queue, by a description of what is wrong."""
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
        "a list of properties": put([], "properties"),
        "no headers": without("headers"),
        "null as headers": put(None, "headers"),
        "no body": without("body"),
        "no task": without("headers", "task"),
        "no id": without("headers", "id"),
        "no delivery tag": without("properties", "delivery_tag"),
        "no delivery info": without("properties", "delivery_info"),
        "an unknown task": put("celery.backend_cleanup", "headers", "task"),
        "a task name that is an object": put({}, "headers", "task"),
        "a body that is not base64": put("%%%", "body"),
        "a body that is a number": put(5, "body"),
        "a body in another encoding": put("utf-8", "properties", "body_encoding"),
        "a body in an unknown encoding": put("rot13", "properties", "body_encoding"),
        "a body that is not JSON": put(b64encode(b"garbage").decode(), "body"),
        "a body of Celery's protocol 1": put(b64encode(json.dumps(task).encode()).decode(), "body"),
        "a pickle as body": put(b64encode(pickle.dumps(([], {}, links))).decode(), "body"),
        "the content type of pickle": put("application/x-python-serialize", "content-type"),
        "the content type of text": put("text/plain", "content-type"),
        "another character set": put("utf-16", "content-encoding"),
        "no argument": call(lambda _: [[], {}, links]),
        "two arguments": call(lambda batch_id: [[batch_id, batch_id], {}, links]),
        "an argument that is a number": call(lambda _: [[17], {}, links]),
        "an argument that is not an id": call(lambda batch_id: [[batch_id + " "], {}, links]),
        "an argument that differs from the id": call(lambda batch_id: [[batch_id[::-1]], {}, links]),
        "a keyword argument": call(lambda batch_id: [[batch_id], {"rows": 1}, links]),
        "a callback": call(lambda batch_id: [[batch_id], {}, {**links, "callbacks": [task]}]),
        "a chord": call(lambda batch_id: [[batch_id], {}, {**links, "chord": task}]),
        "an id that is a number": put(17, "headers", "id"),
        "an id of another form": put("../../etc", "headers", "id"),
        "an id with a line break": put("AaIO3oy4HgeGuNGY3hTy\n", "headers", "id"),
        "a delivery tag that is a number": put(17, "properties", "delivery_tag"),
        "a delivery tag that is a list": put([1], "properties", "delivery_tag"),
        "delivery info that is a string": put("here", "properties", "delivery_info"),
        "the routing key of another queue": put(other.value, "properties", "delivery_info", "routing_key"),
        "an exchange": put("celeryev", "properties", "delivery_info", "exchange"),
        "a priority that is a text": put("high", "properties", "priority"),
        "an expiry time": put("2001-01-01T00:00:00", "headers", "expires"),
        "an expiry time that is an object": put({}, "headers", "expires"),
        "an ETA": put("2999-01-01T00:00:00", "headers", "eta"),
        "an ETA that is not a time": put("tomorrow", "headers", "eta"),
        "a group": put("a group", "headers", "group"),
        "retries that are a text": put("many", "headers", "retries"),
        "time limits that are a text": put("short", "headers", "timelimit"),
        "time limits of 0": put([0, 0], "headers", "timelimit"),
        "stamps": put(["monitoring"], "headers", "stamped_headers"),
        "a compression": put("gzip", "headers", "compression"),
        "a displayed argument that is a list": put([1], "headers", "argsrepr"),
        "an object with a type for kombu to build": put({"__type__": "uuid", "__value__": 5}, "headers", "origin"),
        "megabytes of displayed keywords": put("x" * HUGE_BYTES, "headers", "kwargsrepr"),
    }


def commands() -> dict[str, bytes]:
    """Return alien broadcasts, by a description of what is wrong; no program that uses Celery's protocol sends them."""

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
        "a clock that is a text": command({"method": "ping"}, headers={"clock": "noon"}),
        "a clock with 300 digits": command({"method": "ping"}, headers={"clock": 10**300}),
        "a pickle": command({"method": "ping"}, **{"content-type": "application/x-python-serialize"}),
        "a list": command([]),
        "no method": command({}),
        "a method that is a list": command({"method": []}),
        "arguments that are a list": command({"method": "ping", "arguments": [1]}),
        "a destination that is a number": command({"method": "ping", "destination": 5}),
        "an unknown matcher": command({"method": "ping", "pattern": "*", "matcher": "magic"}),
        "an empty reply address": command({"method": "ping", "reply_to": {}}),
    }


def replies() -> dict[str, bytes]:
    """Return alien messages for a reply channel, by a description of what is wrong."""
    endings = {
        "an id alone": b"",
        "a time without a separator": b" 1",
        "a time that is a text": b" noon ",
        "an outcome that is garbage": b" 1 garbage",
        "an outcome of another form": b" 1 \x93\x01\x02\x03",
    }
    with_id = {name: new_batch_id().encode() + ending for name, ending in endings.items()}
    return {**GARBAGE, "an id that is not text": b"\xff 1 ", **with_id}


@cache
def _publisher() -> CeleryMessages:
    return CeleryMessages()


def _at(message: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        message = message[name]
    return message
