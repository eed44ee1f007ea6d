"""The header `Prefer` (RFC 7240)."""

import re
from typing import Final

from hypothesis import strategies as st

from api.http.headers import Preferences
from tests.fuzz.parsers.effort import assert_linear, pumped
from tests.fuzz.parsers.properties import Property

_SPACE: Final = " \t"
_TOKEN: Final = st.sampled_from(["wait", "Wait", "respond-async", "RESPOND-ASYNC", "foo", "x", "1", "!#$%&'*+-.^_`|~"])
_INNER: Final = st.text(st.sampled_from('a,;= "\\\t0é'), max_size=8)
_WORD: Final = st.one_of(
    st.integers(0, 10**12).map(str), _TOKEN, _INNER.map(lambda text: '"' + re.sub(r'(["\\])', r"\\\1", text) + '"')
)
_OWS: Final = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def _pair(draw: st.DrawFn) -> str:
    name = draw(_TOKEN)
    return f"{name}{draw(_OWS)}={draw(_OWS)}{draw(_WORD)}" if draw(st.booleans()) else name


@st.composite
def _element(draw: st.DrawFn) -> str:
    parameters = draw(st.lists(st.one_of(_pair(), st.just("")), max_size=2))
    return draw(_OWS) + f"{draw(_OWS)};{draw(_OWS)}".join([draw(_pair()), *parameters]) + draw(_OWS)


GRAMMATICAL: Final = st.lists(st.one_of(_element(), st.just("")), max_size=5).map(",".join)
_FRAGMENTS: Final = st.one_of(
    st.sampled_from([b"wait", b"respond-async", b"=", b",", b";", b'"', b"\\", b" ", b"5", b"a=b", b'\\"', b"\xe9"]),
    st.binary(max_size=4),
)
ANY: Final = st.one_of(
    GRAMMATICAL.map(lambda text: text.encode("latin-1")), st.lists(_FRAGMENTS, max_size=20).map(b"".join)
)


def reference(headers: list[bytes]) -> Preferences:
    """Read the preferences one character at a time."""
    seen: dict[str, str] = {}
    for element in _split(",".join(header.decode("latin-1") for header in headers), ","):
        name, _, word = _split(element, ";")[0].partition("=")
        seen.setdefault(name.strip().lower(), _unquote(word.strip()))
    wait = seen.get("wait", "")
    is_wait = 1 <= len(wait) <= 9 and set(wait) <= set("0123456789")
    return Preferences(seen.get("respond-async") == "", int(wait) if is_wait else None)


def _split(text: str, separator: str) -> list[str]:
    parts, quoted, escaped = [""], False, False
    for character in text:
        if character == separator and not quoted:
            parts.append("")
            continue
        parts[-1] += character
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
    return parts


def _unquote(word: str) -> str:
    if len(word) < 2 or word[0] != '"' or word[-1] != '"':
        return word
    unquoted, escaped = "", False
    for character in word[1:-1]:
        if character == "\\" and not escaped:
            escaped = True
        else:
            unquoted, escaped = unquoted + character, False
    return unquoted


def _agrees(headers: list[bytes]) -> None:
    assert Preferences.parse(headers) == reference(headers)


def _waits_within_its_limits(headers: list[bytes]) -> None:
    preferences = Preferences.parse(headers)
    assert 0 <= preferences.wait_seconds(default_seconds=10, max_seconds=60) <= 60
    for answered in (True, False):
        applied = preferences.preference_applied(answered, max_seconds=60)
        assert applied is None or re.fullmatch(r"(respond-async)?(, )?(wait=[0-9]{1,2})?", applied)


PROPERTIES: Final = [
    Property("agrees with a slow reader", st.lists(ANY, max_size=3), _agrees, finds=([b"wait=60"], [b"a=b, wait=1"])),
    Property("waits within its limits", st.lists(ANY, max_size=3), _waits_within_its_limits),
    Property(
        "takes linear time",
        pumped(_FRAGMENTS),
        lambda text: assert_linear(lambda value: Preferences.parse([value]), text),
    ),
]
