"""Decides whether and when a request is retried."""

import os
import random
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx
from tenacity import RetryCallState, retry_if_exception

from sepal_client.errors import GatewayError, GatewayUnreachable, SepalError
from sepal_client.timer import Timer

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 10.0
_LONGEST_JITTER_SECONDS: Final = 1.0
_LONGEST_PAUSE_FOR_KEY_SECONDS: Final = 2.0
"""A key that a killed gateway had reserved is released after ten seconds."""
_REPEATED_STATUSES: Final = frozenset({408, 429, 503})
_REPEATED_STATUSES_WITHOUT_CODE: Final = frozenset({502, 504})
"""A proxy's responses while no gateway is available; a 504 of a gateway has a code, and its prediction is final."""
_REPEATED_CODES: Final = frozenset({"idempotency-key-in-use"})
_NOT_REPEATED_CODES: Final = frozenset({"deadline-unreachable", "record-incompatible"})
_NOT_SENT_ERRORS: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_WRONG_PROTOCOL_REASON: Final = "WRONG_VERSION_NUMBER"  # the server does not use TLS

_random = random.SystemRandom()


class ConnectionLost(Exception):
    """An attempt ended without a complete response."""

    def __init__(self, error: httpx.RequestError) -> None:
        super().__init__(_describe_error(error))
        self.was_connected = not isinstance(error, _NOT_SENT_ERRORS)
        self.is_silence = isinstance(error, httpx.ReadTimeout)
        """Whether the time-out for the next byte of the response expired."""
        self.is_permanent = _is_permanent(error)
        """Whether a retry would fail in the same way."""


class Attempts:
    """The attempts of one request, which end after `retry_for` seconds without progress."""

    def __init__(
        self,
        url: str,
        retry_for: float,
        *,
        idempotency_key: str | None = None,
        prediction_id: str | None = None,
        timer: Timer | None = None,
        is_idempotent: bool = True,
    ) -> None:
        """Prepare the attempts.

        Args:
            url: of the gateway, for error messages.
            retry_for: seconds without progress for which the request is retried.
            idempotency_key: of the submission, if the request is one.
            prediction_id: of the prediction, if the request concerns an accepted one.
            timer: also ends the attempts.
            is_idempotent: whether to retry a request that the gateway may already have processed.
        """
        self.idempotency_key = idempotency_key
        self.may_be_accepted = False
        """Whether the gateway may have accepted the submission, although its response was lost."""
        self.is_timed_out = False
        """Whether the timer ended the attempts."""
        self._url = url
        self._retry_for = retry_for
        self._prediction_id = prediction_id
        self._timer = timer or Timer()
        self._is_idempotent = is_idempotent
        self._furthest = 0
        self._n_failures = 0
        self._failing_since: float | None = None

    def record_progress(self, n_bytes: int) -> None:
        """Record the bytes transferred by this attempt; more than in every earlier attempt are progress."""
        if n_bytes > self._furthest:
            self._furthest = n_bytes
            self._n_failures, self._failing_since = 0, None

    @property
    def tenacity_arguments(self) -> dict[str, Any]:
        """The arguments of tenacity's `Retrying`."""
        retry = retry_if_exception(self._is_repeatable)
        return {"retry": retry, "wait": self._next_pause, "stop": self._is_over, "reraise": True}

    def unreachable_error(self, connection_error: ConnectionLost) -> GatewayUnreachable:
        """Return the error to raise when the connection has failed and no attempts are left."""
        if connection_error.was_connected or self._furthest:
            what = f"The connection to {self._url} was lost ({connection_error}){self._duration_text()}."
        else:
            failure = f"Cannot connect to {self._url} ({connection_error}){self._duration_text()}"
            what = f"{failure}: check that a gateway runs there."
        return GatewayUnreachable(
            what + self.acceptance_note(), may_be_accepted=self.may_be_accepted, idempotency_key=self.idempotency_key
        )

    def acceptance_note(self) -> str:
        """Return a sentence on a prediction that may exist despite the error; empty if there is none."""
        if self._prediction_id is not None:
            return f" The prediction {self._prediction_id} is not affected: look it up by its id later."
        if self.may_be_accepted:
            key = self.idempotency_key
            return f" The prediction may have been accepted: submit again with idempotency_key={key!r} to get it."
        return ""

    def _is_repeatable(self, error: BaseException) -> bool:
        if not self._is_idempotent and isinstance(error, ConnectionLost) and error.was_connected:
            return False
        return is_repeatable(error)

    def _duration_text(self) -> str:
        return f", for {self._retry_for:g} s" if self._retry_for and self._n_failures > 1 else ""

    def _next_pause(self, state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        assert state.outcome is not None, "an attempt has failed"
        assert state.outcome_timestamp is not None, "an attempt has failed"
        if self._failing_since is None:
            self._failing_since = state.outcome_timestamp
        self._n_failures += 1
        error = state.outcome.exception()
        requested = getattr(error, "retry_after", None)
        is_key_in_use = getattr(error, "code", None) in _REPEATED_CODES
        limit = _LONGEST_PAUSE_FOR_KEY_SECONDS if is_key_in_use else _LONGEST_PAUSE_SECONDS
        longest = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._n_failures - 1, 16), limit)
        if requested is None:
            return longest * _random.uniform(0.5, 1.0)
        return float(requested) + _random.uniform(0.0, min(longest, _LONGEST_JITTER_SECONDS))

    def _is_over(self, state: RetryCallState) -> bool:
        assert self._failing_since is not None, "the pause has been chosen"
        assert state.outcome_timestamp is not None, "an attempt has failed"
        self.is_timed_out = state.upcoming_sleep >= self._timer.seconds_left
        if self.is_timed_out:
            return True
        return state.outcome_timestamp - self._failing_since + state.upcoming_sleep > self._retry_for


def is_repeatable(error: BaseException) -> bool:
    """Return whether a retry may succeed."""
    if isinstance(error, ConnectionLost):
        return not error.is_permanent
    if not isinstance(error, GatewayError):
        return False
    if error.code in _REPEATED_CODES or error.status in _REPEATED_STATUSES:
        return error.code not in _NOT_REPEATED_CODES
    return not error.code and error.status in _REPEATED_STATUSES_WITHOUT_CODE


def add_note(error: SepalError, note: str) -> None:
    """Append a sentence to the message of an error."""
    if note:
        error.args = (f"{error}{note}", *error.args[1:])


def _is_permanent(error: httpx.RequestError) -> bool:
    """Return whether the cause is a wrong URL, certificate or protocol rather than the network."""
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.DecodingError)):
        return True
    for cause in _cause_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        if isinstance(cause, ssl.SSLError) and cause.reason == _WRONG_PROTOCOL_REASON:
            return True
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return True
    return False


def _describe_error(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "timed out" if isinstance(error, _NOT_SENT_ERRORS) else "timed out without data"
    for cause in _cause_chain(error):
        if isinstance(cause, (socket.gaierror, ssl.SSLError)):
            return cause.strerror or str(cause)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return str(error) or type(error).__name__


def _cause_chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
