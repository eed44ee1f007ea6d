"""The headers `Idempotency-Key` and `Sepal-Deadline`."""

import re
import time
from hashlib import sha256
from typing import Any, Final

from hypothesis import strategies as st

from api.http.headers import DEADLINE_PATTERN, IDEMPOTENCY_KEY_PATTERN, RequestHeaders
from shared.errors import InvalidDeadline, InvalidIdempotencyKey
from tests.fuzz.parsers.effort import assert_linear, pumped
from tests.fuzz.parsers.properties import Property

_WHITESPACE: Final = b" \t\n\r\x0b\x0c"
_MAX_KEY: Final = 255
_KEY_FRAGMENTS: Final = st.one_of(
    st.sampled_from([b'"', b"\\", b'\\"', b"\\\\", b" ", b"\t", b"key", b"k" * 250, b"\x7f", b"\x80", b"~", b"!"]),
    st.binary(max_size=4),
)
KEYS: Final = st.one_of(
    st.lists(_KEY_FRAGMENTS, max_size=6).map(b"".join),
    st.lists(_KEY_FRAGMENTS, max_size=6).map(lambda parts: b'"' + b"".join(parts) + b'"'),
)
_DEADLINE_FRAGMENTS: Final = st.sampled_from(
    [b"0", b"1", b"9", b".", b"00000", b"123456789", b"-", b"+", b"e", b"E", b" ", b"\t", b"_", b"inf", b"nan", b"\xb2"]
)
DEADLINES: Final = st.one_of(
    st.lists(_DEADLINE_FRAGMENTS, max_size=5).map(b"".join),
    st.decimals(0, 10**9, places=6, allow_nan=False).map(lambda number: str(number).encode()),
    st.binary(max_size=12),
)
CLIENTS: Final = st.sampled_from(["", "10.0.0.1", "10.0.0.2", "2001:db8::1"])
CREDENTIALS: Final = st.sampled_from([b"", b"Bearer a", b"Bearer b", b"credentials 1", b"address 10.0.0.1"])


def _key_of(value: bytes, client: str = "10.0.0.1", authorization: bytes = b"", body: bytes = b"") -> Any:
    headers = [(b"idempotency-key", value), (b"authorization", authorization)]
    return RequestHeaders.read(headers).parse_idempotency_key(client, body)


def reference_key(value: bytes) -> bytes | None:
    """Read a key one byte at a time: a string of RFC 9651, or printable ASCII without spaces and quotes in front."""
    text = value.strip(_WHITESPACE)
    quoted = _quoted_key(text)
    if quoted is not None:
        return quoted
    is_bare = 1 <= len(text) <= _MAX_KEY and all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in text)
    return text if is_bare else None


def _quoted_key(text: bytes) -> bytes | None:
    if len(text) < 3 or text[:1] != b'"':
        return None
    length, position = 0, 1
    while position < len(text):
        byte = text[position : position + 1]
        if byte == b'"':
            return text[1:position] if position == len(text) - 1 and 1 <= length <= _MAX_KEY else None
        if byte == b"\\":
            if text[position + 1 : position + 2] not in (b'"', b"\\"):
                return None
            position += 1
        elif not b" " <= byte <= b"~":
            return None
        length, position = length + 1, position + 1
    return None


def _agrees_on_keys(value: bytes) -> None:
    expected = reference_key(value)
    try:
        found = _key_of(value)
    except InvalidIdempotencyKey:
        assert expected is None
    else:
        assert expected is not None
        assert found.digest == sha256(b"16:address 10.0.0.1" + expected).hexdigest()  # records outlive a release
    stripped = value.strip(_WHITESPACE).decode("latin-1")
    assert bool(re.fullmatch(IDEMPOTENCY_KEY_PATTERN, stripped)) is (expected is not None)


def _separates_clients(drawn: Any) -> None:
    """Two requests share a reservation if, and only if, both the client and the key are the same."""
    try:
        first, second = (_key_of(key, client, credentials, body) for key, client, credentials, body in drawn)
    except InvalidIdempotencyKey:
        return
    identities = [
        (reference_key(key), credentials or client, bool(credentials)) for key, client, credentials, _ in drawn
    ]
    assert (first.stored_name == second.stored_name) is (identities[0] == identities[1])
    assert (first.fingerprint == second.fingerprint) is (drawn[0][3] == drawn[1][3])


_REQUESTS: Final = st.tuples(KEYS, CLIENTS, CREDENTIALS, st.sampled_from([b"", b"{}", b"[]"]))


def _deadline_of(value: bytes) -> float | None:
    return RequestHeaders.read([(b"sepal-deadline", value)]).deadline_seconds(time.monotonic())


def reference_deadline(value: bytes) -> float | None:
    """Read a positive decimal number of at most nine digits, a point and six digits."""
    whole, point, fraction = value.strip(_WHITESPACE).partition(b".")
    digits = set(b"0123456789")
    if not (1 <= len(whole) <= 9 and set(whole) <= digits and set(fraction) <= digits):
        return None
    if point and not 1 <= len(fraction) <= 6:
        return None
    microseconds = int(whole) * 10**6 + int(fraction.ljust(6, b"0") or b"0")
    return microseconds / 10**6 if microseconds else None


def _agrees_on_deadlines(value: bytes) -> None:
    expected = reference_deadline(value)
    try:
        found = _deadline_of(value)
    except InvalidDeadline:
        assert expected is None
    else:
        assert expected is not None
        assert found is not None
        assert 0 <= found <= expected
    stripped = value.strip(_WHITESPACE).decode("latin-1")
    assert bool(re.search(DEADLINE_PATTERN, stripped)) is (expected is not None)


KEY_PROPERTIES: Final = [
    Property("agrees with a slow reader", KEYS, _agrees_on_keys, finds=(b'"' + b"\\" * 6 + b"k" * 250 + b'"',)),
    Property("separates clients, keys and bodies", st.tuples(_REQUESTS, _REQUESTS), _separates_clients),
    Property("takes linear time", pumped(_KEY_FRAGMENTS), lambda text: assert_linear(_key_of, text)),
]
DEADLINE_PROPERTIES: Final = [
    Property("agrees with a slow reader", DEADLINES, _agrees_on_deadlines),
    Property("takes linear time", pumped(_DEADLINE_FRAGMENTS), lambda text: assert_linear(_deadline_of, text)),
]
