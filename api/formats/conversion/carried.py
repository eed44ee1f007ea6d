"""Writes carried values as texts, so that they can be given back as they were (`shared.bulk.JSON_MARK`)."""

import json
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shared.bulk import JSON_MARK


def encode_carried_json(value: bytes) -> str | None:
    """Write a JSON value, which is valid, as a carried text; null is a missing one."""
    if value.startswith(b'"'):
        return encode_carried_string(msgspec.json.decode(value, type=str))
    if value == b"null":
        return None
    if value.startswith((b"{", b"[")):
        value = msgspec.json.format(value, indent=-1)
    return JSON_MARK + value.decode()


def encode_carried_string(text: str) -> str:
    """Write a text as a carried text."""
    return JSON_MARK + json.dumps(text) if text.startswith(JSON_MARK) else text


def encode_carried_strings(texts: Any) -> Any:
    """Write an array of texts as carried texts."""
    if not pc.any(pc.starts_with(texts, JSON_MARK), min_count=0).as_py():
        return texts
    return pa.array([text if text is None else encode_carried_string(text) for text in texts.to_pylist()], pa.string())
