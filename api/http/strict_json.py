"""Parses JSON strictly: as RFC 8259 says, without the extensions of Python's parser, and noticing repeated members.

It also writes values back for messages.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

from shared.errors import MalformedJson

_SHOWN_CHARACTERS: Final = 60
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")

Parsed = Any
"""A value as `json` returns it; an object with a repeated member is a `Repeating`."""


class Repeating(dict[str, Any]):
    """An object in which a member stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        """The first name that is repeated."""


def parse(body: bytes) -> Parsed:
    """Parse a body.

    A number beyond the range of float64 becomes infinity, so that its column refuses it.

    Raises:
        MalformedJson: it is not JSON in UTF-8, or not text: a lone surrogate.
    """
    try:
        text = body.decode()
        parsed = _decode(text)
        if _SURROGATE.search(text):  # a pair of them is a character, and a lone one cannot be encoded
            json.dumps(parsed, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"The body is not JSON: {error.msg} ({where}).") from None
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8 (byte {error.start}).") from None
    except UnicodeEncodeError:
        raise MalformedJson("A text holds a lone surrogate (\\ud800 to \\udfff), which is not a character.") from None
    except RecursionError:
        raise MalformedJson("The body is nested too deeply.") from None
    return parsed


def show(value: Any) -> str:
    """Write a value as JSON for a message, cut to a readable length; an array or object is only named."""
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    if value in (math.inf, -math.inf):
        return "a number this large"
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        value = f"{value[:_SHOWN_CHARACTERS]}…"
    text = json.dumps(value, ensure_ascii=False)
    return text if isinstance(value, str) or len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits, which Python does not convert
        return _LENIENT_DECODER.decode(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else Repeating(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"The body is not JSON: {name} is not a number; a missing value is null.")


def _integer(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
_LENIENT_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer
)
