"""The `Prefer` header (RFC 7240)."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.headers import Preferences


@pytest.mark.parametrize(
    ("headers", "respond_async", "wait"),
    [
        ([], False, None),
        ([""], False, None),
        ([",,"], False, None),
        (["respond-async"], True, None),
        (["Respond-Async"], True, None),
        (["respond-async, wait=10"], True, 10),
        (["wait=10", "respond-async"], True, 10),
        (['foo; bar="a,b"; c, wait="7"'], False, 7),
        (["Wait = 3 ;x"], False, 3),
        (["wait=1, wait=2"], False, 1),
        (["wait=abc"], False, None),
        (["wait=-1"], False, None),
        (["wait=1.5"], False, None),
        (["wait"], False, None),
        (['respond-async=""'], True, None),
        (["respond-async=1"], False, None),
        (["respond-async; wait=5"], True, None),
        (["@@, wait=4"], False, 4),
        (['"a,wait=9", wait=1'], False, 1),
        (["handling=lenient, return=minimal"], False, None),
        (["wait=99999999999999999999"], False, None),
        (["waiter=1, wait=2"], False, 2),
        (["a; wait=1, wait=2"], False, 2),
        (['a="x\\\\", wait=2'], False, 2),
        (['a="x\\", wait=1", wait=2'], False, 2),
        (['a="open, wait=1'], False, None),
        (['wait="open'], False, None),
        (['a="\\'], False, None),
        (["wait =\t2 , respond-async ; a"], True, 2),
        (["wait, wait=2"], False, None),
    ],
)
def test_preferences_are_parsed(headers: list[str], respond_async: bool, wait: int | None) -> None:
    assert Preferences.parse([header.encode() for header in headers]) == Preferences(respond_async, wait)


def split(text: str, separator: str) -> Iterator[str]:
    """Split at the separators outside quoted strings, one character after the other."""
    start, quoted, escaped = 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def first_words(text: str) -> dict[str, str]:
    """Return the word of the first preference of each name, unquoted."""
    words: dict[str, str] = {}
    for element in split(text, ","):
        name, _, word = next(split(element, ";")).partition("=")
        word = word.strip()
        quoted = len(word) > 1 and word[0] == word[-1] == '"'
        words.setdefault(name.strip().lower(), re.sub(r"\\(.)", r"\1", word[1:-1]) if quoted else word)
    return words


TEXT: Final = st.lists(st.sampled_from(['"', "\\", ",", ";", "=", " ", "\t", "a", "1", "é", "wait"]), max_size=6).map(
    "".join
)
NAME: Final = st.sampled_from(["wait", "WAIT", " wait ", "respond-async", "a"])
ELEMENT: Final = st.one_of(TEXT, NAME, st.tuples(NAME, TEXT).map("=".join), st.tuples(NAME, TEXT).map(";".join))


@settings(max_examples=400, derandomize=True)
@given(st.lists(ELEMENT, max_size=5).map(",".join))
def test_preferences_are_those_that_a_simple_parser_finds(text: str) -> None:
    words = first_words(text)
    wait = words.get("wait", "")
    expected = Preferences(words.get("respond-async") == "", int(wait) if re.fullmatch("[0-9]{1,9}", wait) else None)
    assert Preferences.parse([text.encode("latin-1")]) == expected


@pytest.mark.parametrize(
    "part", ["a=b, ", '"', '"",', "\\", '"\\', " ", "wait", "wait ,", ";", "=", 'a="b", ', ",wait "]
)
def test_patterns_of_preferences_do_not_backtrack(part: str) -> None:
    long = part * (2**20 // len(part))  # with backtracking, this would take minutes or hours
    assert Preferences.parse([long.encode()]).respond_async is False


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        (Preferences(), 10),
        (Preferences(respond_async=True), 0),
        (Preferences(wait=5), 5),
        (Preferences(wait=500), 60),
        (Preferences(respond_async=True, wait=5), 5),
    ],
)
def test_wait_follows_the_preferences(preferences: Preferences, seconds: float) -> None:
    assert preferences.wait_seconds(default_seconds=10, max_seconds=60) == seconds
