"""A slow reader of JSON (RFC 8259), written independently of the parsers that the gateway uses."""

from typing import Any, Final

_SPACE: Final = " \t\n\r"
_DIGITS: Final = "0123456789"
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final = {"true": True, "false": False, "null": None}


class NotJson(Exception):
    """The text is not JSON, or contains a lone surrogate."""


class Repeated(Exception):
    """A member occurs twice in an object."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.is_repeating = False

    def skip(self) -> None:
        while self.peek() in _SPACE and self.peek():
            self.position += 1

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def take(self, expected: str) -> None:
        if not self.text.startswith(expected, self.position):
            raise NotJson
        self.position += len(expected)

    def value(self) -> Any:
        self.skip()
        character = self.peek()
        if character == "{":
            return self.object()
        if character == "[":
            return self.array()
        if character == '"':
            return self.string()
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, self.position):
                self.position += len(word)
                return meaning
        return self.number()

    def array(self) -> list[Any]:
        values: list[Any] = []
        self.take("[")
        self.skip()
        if self.peek() == "]":
            self.take("]")
            return values
        while True:
            values.append(self.value())
            self.skip()
            if self.peek() == "]":
                self.take("]")
                return values
            self.take(",")

    def object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.take("{")
        self.skip()
        if self.peek() == "}":
            self.take("}")
            return members
        while True:
            self.skip()
            name = self.string()
            self.skip()
            self.take(":")
            self.is_repeating |= name in members
            members[name] = self.value()
            self.skip()
            if self.peek() == "}":
                self.take("}")
                return members
            self.take(",")

    def string(self) -> str:
        units: list[int] = []  # of UTF-16 where escaped, else characters
        self.take('"')
        while (character := self.peek()) != '"':
            if not character or character < " ":
                raise NotJson
            self.position += 1
            units.append(self.escaped() if character == "\\" else ord(character))
        self.take('"')
        return _joined(units)

    def escaped(self) -> int:
        character = self.peek()
        self.position += 1
        if character == "u":
            digits = self.text[self.position : self.position + 4]
            if len(digits) != 4 or not set(digits) <= set(_DIGITS + "abcdefABCDEF"):
                raise NotJson
            self.position += 4
            return int(digits, 16)
        if character not in _ESCAPES:
            raise NotJson
        return ord(_ESCAPES[character])

    def number(self) -> float | int:
        start = self.position
        if self.peek() == "-":
            self.take("-")
        if self.peek() == "0":
            self.take("0")
        else:
            self.digits()
        is_integer = True
        if self.peek() == ".":
            is_integer = False
            self.take(".")
            self.digits()
        if self.peek() in ("e", "E"):
            is_integer = False
            self.position += 1
            if self.peek() in ("+", "-"):
                self.position += 1
            self.digits()
        text = self.text[start : self.position]
        return int(text) if is_integer and len(text) < 4000 else float(text)

    def digits(self) -> None:
        if not self.peek() or self.peek() not in _DIGITS:
            raise NotJson
        while self.peek() and self.peek() in _DIGITS:
            self.position += 1


def _joined(units: list[int]) -> str:
    characters: list[str] = []
    for index, unit in enumerate(units):
        if 0xDC00 <= unit <= 0xDFFF and index and 0xD800 <= units[index - 1] <= 0xDBFF:
            characters[-1] = chr(0x10000 + ((units[index - 1] - 0xD800) << 10) + (unit - 0xDC00))
        else:
            characters.append(chr(unit))
    text = "".join(characters)
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise NotJson
    return text


def read(body: bytes) -> Any:
    """Read a body.

    Raises:
        NotJson: it is not JSON in UTF-8, or a text of it holds a lone surrogate.
        Repeated: it is JSON, and a member stands twice in an object.
    """
    try:
        reader = _Reader(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotJson from None
    value = reader.value()
    reader.skip()
    if reader.position != len(reader.text):
        raise NotJson
    if reader.is_repeating:
        raise Repeated
    return value
