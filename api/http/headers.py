"""Parses the request headers of `POST /predict` and `POST /predictions`.

`Prefer` is defined by RFC 7240, `Idempotency-Key` by draft-ietf-httpapi-idempotency-key-header, `traceparent` by W3C
Trace Context, and `Sepal-Deadline` by Sepal (docs/decisions/0015-deadlines-in-seconds.md).
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

import msgspec

from shared.errors import InvalidDeadline, InvalidIdempotencyKey
from shared.store.idempotency import IdempotencyKey
from shared.store.schema import OWNER_BYTES

DEADLINE_PATTERN: Final = r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,6})?$"
"""A positive decimal number of seconds, without sign or exponent."""
_DEADLINE: Final = re.compile(DEADLINE_PATTERN.encode())

# A structured field's string (RFC 9651, section 3.3.3); many clients omit the quotes.
_QUOTED_KEY: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE_KEY: Final = re.compile(rb"[!#-~]{1,255}")
IDEMPOTENCY_KEY_PATTERN: Final = f"^({_QUOTED_KEY.pattern.decode()}|{_BARE_KEY.pattern.decode()})$"
"""Both forms, for the OpenAPI schema."""

# The parts of a list of token ["=" word] *( ";" parameter ), where a word is a token or a quoted string: each part
# starts where the previous one ends, so that 32 KB take a few milliseconds. (No possessive quantifiers: they do
# not match what they should in Python 3.11.2, which Debian 12 has.)
_PREFER_PARTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[,;]|[^",;]+', re.DOTALL)
_PREFERENCES: Final = ("wait", "respond-async")

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class RequestHeaders(msgspec.Struct, frozen=True):
    """The headers that the two operations read; other headers are ignored."""

    media_type: bytes
    content_coding: bytes
    """Of the body (`Content-Encoding`); empty if the header is missing."""
    prefer: list[bytes]
    deadline: bytes | None
    idempotency_key: bytes | None
    authorization: bytes
    request_id: str
    """The correlation id; empty if it is missing or invalid."""
    traceparent: str
    """The client's span (W3C Trace Context); empty if it is missing or invalid."""

    @classmethod
    def read(cls, headers: Sequence[tuple[bytes, bytes]]) -> Self:
        """Read the headers of an ASGI scope, whose names are in lower case."""
        found = dict(headers)
        request_id, traceparent = found.get(b"x-request-id", b""), found.get(b"traceparent", b"")
        return cls(
            found.get(b"content-type", b""),
            b",".join(_header_values(headers, b"content-encoding")) if b"content-encoding" in found else b"",
            _header_values(headers, b"prefer") if b"prefer" in found else [],
            found.get(b"sepal-deadline"),
            found.get(b"idempotency-key"),
            found.get(b"authorization", b""),
            request_id.decode() if request_id and _REQUEST_ID.fullmatch(request_id) else "",
            traceparent.decode() if traceparent and _TRACEPARENT.fullmatch(traceparent) else "",
        )

    def deadline_seconds(self, start_time: float) -> float | None:
        """Parse `Sepal-Deadline`.

        Args:
            start_time: the time from which the deadline counts, on the monotonic clock.

        Returns:
            Seconds from now after which the client no longer needs the result; None without the header.

        Raises:
            InvalidDeadline: the value is not a positive number of seconds.
        """
        if self.deadline is None:
            return None
        if not _DEADLINE.fullmatch(self.deadline.strip()):
            raise InvalidDeadline
        return max(float(self.deadline) - (time.monotonic() - start_time), 0.0)

    def parse_idempotency_key(self, client_host: str, body: bytes) -> IdempotencyKey | None:
        """Parse `Idempotency-Key`, and add the fingerprint of the body.

        Raises:
            InvalidIdempotencyKey: the value is not a string of the allowed form.
        """
        digest = self.idempotency_digest(client_host)
        return None if digest is None else IdempotencyKey(digest, sha256(body).hexdigest())

    def idempotency_digest(self, client_host: str) -> str | None:
        """Return `IdempotencyKey.digest`, a hash of key and client: the keys of different clients are independent.

        Raises:
            InvalidIdempotencyKey: the value is not a string of the allowed form.
        """
        if self.idempotency_key is None:
            return None
        value = self.idempotency_key.strip()
        quoted = _QUOTED_KEY.fullmatch(value)
        if not quoted and not _BARE_KEY.fullmatch(value):
            raise InvalidIdempotencyKey
        key = quoted[1] if quoted else value
        client = self._client_identity(client_host)
        return sha256(b"%d:%b%b" % (len(client), client, key)).hexdigest()

    def owner(self, client_host: str) -> bytes:
        """Return the hash that identifies the client in the store, of `OWNER_BYTES` bytes."""
        return sha256(self._client_identity(client_host)).digest()[:OWNER_BYTES]

    def _client_identity(self, client_host: str) -> bytes:
        """Return the client's credentials or, without credentials, its address."""
        return b"credentials " + self.authorization if self.authorization else f"address {client_host}".encode()


@dataclass(frozen=True, slots=True)
class Preferences:
    """The two preferences of RFC 7240 that `POST /predict` supports."""

    respond_async: bool = False
    wait: int | None = None
    """Seconds."""

    @classmethod
    def parse(cls, headers: Sequence[bytes]) -> "Preferences":
        """Parse all `Prefer` headers; of a repeated preference the first counts, and unknown ones are ignored."""
        if not headers:
            return _NO_PREFERENCES
        text = b",".join(headers).decode("latin-1").lower()
        words = _parse_preferences(text) if any(name in text for name in _PREFERENCES) else {}
        wait = words.get("wait", "")
        return cls(
            # RFC 7240, section 2: an empty value is the same as no value.
            respond_async=words.get("respond-async", "no") == "",
            wait=int(wait) if _DELTA_SECONDS.fullmatch(wait) else None,
        )

    def wait_seconds(self, default_seconds: float, max_seconds: float) -> float:
        """Return how long to wait for the result before responding with 202."""
        if self.wait is not None:
            return min(self.wait, max_seconds)
        return 0 if self.respond_async else default_seconds

    def preference_applied(self, is_final: bool, max_seconds: float) -> str | None:
        """Return the value of `Preference-Applied`; None if no preference was applied."""
        applied = []
        if self.respond_async and not is_final:
            applied.append("respond-async")
        if self.wait is not None:
            applied.append(f"wait={min(self.wait, int(max_seconds))}")
        return ", ".join(applied) or None


_NO_PREFERENCES: Final = Preferences()


def _header_values(headers: Sequence[tuple[bytes, bytes]], header_name: bytes) -> list[bytes]:
    return [value for name, value in headers if name == header_name]


def _parse_preferences(text: str) -> dict[str, str]:
    """Return the value of each supported preference, the first if it is repeated; parameters are ignored."""
    words: dict[str, str] = {}
    preference, is_parameter = "", False
    for part in [*_PREFER_PARTS.findall(text), ","]:
        if part == ",":
            name, _, word = preference.partition("=")
            words.setdefault(name.strip(), word.strip())
            preference, is_parameter = "", False
        elif part == ";":
            is_parameter = True
        elif not is_parameter:
            preference += part
    return {name: _unquote(words[name]) for name in _PREFERENCES if name in words}


def _unquote(word: str) -> str:
    quoted = len(word) > 1 and word[0] == word[-1] == '"'
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if quoted else word
