# Written by `python -m tools.sync_client`: change sepal_client/_async instead.
"""Sends requests to a gateway, and repeats them where that is of use."""

import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import httpx
from tenacity import Retrying

from sepal_client import problems
from sepal_client.attempts import Attempts, ConnectionLost, add_note
from sepal_client.call import Call
from sepal_client.concurrency import Attempt, sleep
from sepal_client.errors import GatewayError, PredictionEnded, SepalError
from sepal_client.keep_alive import KEEP_ALIVE
from sepal_client.settings import Settings
from sepal_client.timer import Timer

T = TypeVar("T")

_TURN_SECONDS: Final = 30.0
"""How long a gateway may let an upload or a download wait for its turn."""
_SHORTEST_SECONDS: Final = 1.0
"""What a response is given where a timer is nearly over."""


class Transport:
    """The connections to one gateway address."""

    def __init__(self, settings: Settings, timeout: float, retry_for: float) -> None:
        """Connect to nothing yet.

        Args:
            settings: the URL and the credentials.
            timeout: seconds without a byte after which a connection is given up.
            retry_for: seconds for which a request is repeated without progress.
        """
        self.url = settings.url
        self._timeout = timeout
        self._retry_for = retry_for
        # Without TLS, nothing is verified: loading the certificates takes 30 ms.
        self.is_plain = settings.url.startswith("http://")
        self._verify = False if self.is_plain else httpx.create_ssl_context()
        self._headers = {} if settings.api_key is None else {"Authorization": f"Bearer {settings.api_key}"}
        self._http = self._open(httpx.Limits())
        self._connecting = self._open(httpx.Limits(max_keepalive_connections=0))  # opens one for each request

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._connecting.close()

    def attempts(self, **options: Any) -> Attempts:
        """Return the attempts at a new request; the options are those of `Attempts`."""
        return Attempts(self.url, self._retry_for, **options)

    def repeat(self, attempts: Attempts, attempt: Attempt[T]) -> T:
        """Make attempts until one succeeds.

        Args:
            attempts: decides when it is given up.
            attempt: makes one.

        Raises:
            GatewayUnreachable: there was no connection, or it was lost.
            SepalError: what the last attempt raised.
        """
        try:
            result: T = Retrying(sleep=sleep, **attempts.rules)(attempt)
        except ConnectionLost as lost:
            raise attempts.unreachable(lost) from lost
        except GatewayError as error:
            add_note(error, attempts.note() if attempts.may_be_accepted else "")
            raise
        return result

    def get(self, call: Call, read: Callable[[Any], T], attempts: Attempts | None = None) -> T:
        """Send a request without a body until it is answered, and read the JSON of the response.

        Args:
            call: the request.
            read: takes the JSON.
            attempts: by default new ones.

        Raises:
            SepalError: as `repeat`.
        """
        all_attempts = attempts or self.attempts()

        def attempt() -> T:
            with self.respond(call, all_attempts) as response:
                return self.read(response, read)

        return self.repeat(all_attempts, attempt)

    def read(self, response: httpx.Response, read: Callable[[Any], T]) -> T:
        """Read the JSON of a response.

        Raises:
            GatewayFault: it is not what a gateway sends.
        """
        try:
            return read(json.loads(response.content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = response.headers.get("content-type", "no type")
            raise problems.unexpected(str(response.url), response.status_code, what) from error

    @contextlib.contextmanager
    def respond(
        self,
        call: Call,
        attempts: Attempts,
        content: Any = None,
        *,
        is_streamed: bool = False,
        on_new_connection: bool = False,
    ) -> Iterator[httpx.Response]:
        """Send a request once.

        Args:
            call: the request.
            attempts: that this is one of.
            content: the body.
            is_streamed: whether the caller reads the response, which otherwise is read here.
            on_new_connection: whether no connection of an earlier request is used.

        Raises:
            ConnectionLost: there is no whole response.
            GatewayError, PredictionEnded: the gateway refused the request.
        """
        http = self._connecting if on_new_connection else self._http
        request = http.build_request(
            call.method,
            self.url + call.path,
            params=dict(call.params),
            headers=dict(call.headers),
            content=content,
            timeout=call.timeout or self.usual_timeout(),
            extensions=dict(call.extensions),
        )
        try:
            response = http.send(request, stream=True)
            try:
                if not response.is_success and response.status_code not in call.takes:
                    response.read()
                    raise self._error(response, attempts)
                # Once a response has begun, its parts follow one another.
                request.extensions["timeout"]["read"] = call.silence or self._timeout
                if not is_streamed:
                    response.read()
                yield response
            finally:
                response.close()
        except httpx.RequestError as error:
            raise ConnectionLost(error) from error

    def usual_timeout(self, more: float = 0.0, timer: Timer | None = None) -> httpx.Timeout:
        """Return the time-outs of a request.

        Args:
            more: seconds that its response may take beyond the usual.
            timer: ends it, too.
        """
        longest = max(timer.seconds_left, _SHORTEST_SECONDS) if timer is not None else float("inf")
        read, other = min(self._timeout + more, longest), min(self._timeout, longest)
        return httpx.Timeout(connect=other, read=read, write=other, pool=None)

    def file_timeout(self, work: float) -> httpx.Timeout:
        """Return the time-outs of a request that sends or fetches a file.

        Args:
            work: seconds that the gateway may work on it before the response begins.
        """
        write = self._timeout + _TURN_SECONDS
        return httpx.Timeout(connect=self._timeout, read=write + work, write=write, pool=None)

    def _open(self, limits: httpx.Limits) -> httpx.Client:
        transport = None
        if not urllib.request.getproxies():  # httpx heeds them only with transports of its own
            transport = httpx.HTTPTransport(verify=self._verify, limits=limits, socket_options=KEEP_ALIVE)
        return httpx.Client(headers=self._headers, verify=self._verify, limits=limits, transport=transport)

    @staticmethod
    def _error(response: httpx.Response, attempts: Attempts) -> SepalError:
        error: GatewayError | PredictionEnded = problems.error_of(
            response.status_code, response.headers, response.content, str(response.url), attempts.idempotency_key
        )
        return error
