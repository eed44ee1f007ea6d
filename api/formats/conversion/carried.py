"""Encodes carried values as strings, from which they can be restored exactly (`shared.bulk.JSON_MARK`)."""

import json
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shared.bulk import JSON_MARK


def encode_carried_json(value: bytes) -> str | None:
    """Encode a valid JSON value as a carried string; null as a missing value."""
    if value.startswith(b'"'):
        return encode_carried_string(msgspec.json.decode(value, type=str))
    if value == b"null":
        return None
    if value.startswith((b"{", b"[")):
        value = msgspec.json.format(value, indent=-1)
    return JSON_MARK + value.decode()


def encode_carried_string(text: str) -> str:
    """Encode a string as a carried string."""
    return JSON_MARK + json.dumps(text) if text.startswith(JSON_MARK) else text


def encode_carried_strings(texts: Any) -> Any:
    """Encode an array of strings as carried strings."""
    if not pc.any(pc.starts_with(texts, JSON_MARK), min_count=0).as_py():
        return texts
    return pa.array([text if text is None else encode_carried_string(text) for text in texts.to_pylist()], pa.string())
