"""Parses JSON by RFC 8259, and refuses the extensions of Python's parser and repeated members.

It also formats values for error messages.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

from shared.errors import Fault, InvalidRows, MalformedJson

_SHOWN_CHARACTERS: Final = 60
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MAX_NAME_LENGTH: Final = 200  # characters of a name in a pointer
_LONE_SURROGATE: Final = "A string contains a lone surrogate (\\ud800 to \\udfff), which is not a character."
_TOO_DEEP: Final = "The body is nested too deeply."
_MAX_POINTER_LENGTH: Final = 1000  # characters; a longer pointer ends at an outer value


class _RepeatingObject(dict[str, Any]):
    """An object with a repeated member."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        """The first name that is repeated."""


class _ObjectBuilder:
    """Makes the objects of one body, and records whether any of them has a repeated member."""

    def __init__(self) -> None:
        self.has_repeated_members = False

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        self.has_repeated_members = True
        return _RepeatingObject(pairs)


def parse(body: bytes) -> Any:
    """Parse a body.

    A number beyond the range of float64 becomes infinity, so that its column refuses it.

    Raises:
        MalformedJson: the body is not JSON in UTF-8, or contains a lone surrogate.
        InvalidRows: an object, at any depth, has a repeated member.
    """
    objects = _ObjectBuilder()
    try:
        text = body.decode()
        parsed = _decode(text, objects)
        if _SURROGATE.search(text):  # a pair of them is a character, and a lone one cannot be encoded
            json.dumps(parsed, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"The body is not JSON: {error.msg} ({where}).") from None
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8 (byte {error.start}).") from None
    except UnicodeEncodeError:
        raise MalformedJson(_LONE_SURROGATE) from None
    except RecursionError:
        raise MalformedJson(_TOO_DEEP) from None
    _refuse_repeated_members(objects, parsed)
    return parsed


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the value that starts at a position in a string, as `parse` does; return it and its end.

    Raises:
        json.JSONDecodeError: no valid JSON starts there.
        MalformedJson: as `parse`.
        InvalidRows: as `parse`; the pointer is relative to the value.
    """
    objects = _ObjectBuilder()
    try:
        try:
            parsed, end = _make_decoder(objects).raw_decode(text, start)
        except json.JSONDecodeError:
            raise
        except ValueError:
            parsed, end = _make_decoder(objects, parse_int=_parse_integer).raw_decode(text, start)
        if _SURROGATE.search(text, start, end):
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedJson(_LONE_SURROGATE) from None
    except RecursionError:
        raise MalformedJson(_TOO_DEEP) from None
    _refuse_repeated_members(objects, parsed)
    return parsed, end


def to_pointer_token(name: str) -> str:
    """Return a member's name as a part of a JSON pointer (RFC 6901); empty if the name is too long."""
    return "/" + name.replace("~", "~0").replace("/", "~1") if len(name) <= _MAX_NAME_LENGTH else ""


def to_short_json(value: Any) -> str:
    """Return a value as JSON for a message, shortened; an array or object becomes "an array" or "an object"."""
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


def _refuse_repeated_members(builder: _ObjectBuilder, parsed_value: Any) -> None:
    if builder.has_repeated_members:
        pointer, name = _first_repeated_member(parsed_value)
        raise InvalidRows([Fault(pointer, f"{to_short_json(name)} occurs more than once: send it once.")])


def _decode(text: str, builder: _ObjectBuilder) -> Any:
    try:
        return _make_decoder(builder).decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits, which Python does not convert
        return _make_decoder(builder, parse_int=_parse_integer).decode(text)


def _make_decoder(builder: _ObjectBuilder, **options: Any) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=builder, parse_constant=_refuse_constant, **options)


def _first_repeated_member(parsed_value: Any) -> tuple[str, str]:
    """Return the pointer and the name of the first repeated member, which must exist."""
    places = [("", parsed_value)]
    while True:  # without recursion: the parser accepts as many levels as Python's stack
        pointer, value = places.pop()
        if isinstance(value, _RepeatingObject):
            return _extend_pointer(pointer, to_pointer_token(value.name)), value.name
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [(key, each) for key, each in parts if isinstance(each, dict | list)]
        places += [(_extend_pointer(pointer, to_pointer_token(str(key))), each) for key, each in reversed(inner)]


def _extend_pointer(pointer: str, part: str) -> str:
    return pointer + part if part and len(pointer) + len(part) <= _MAX_POINTER_LENGTH else pointer


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"The body is not JSON: {name} is not a number; a missing value is null.")


def _parse_integer(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf
