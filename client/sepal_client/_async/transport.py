"""Sends requests to a gateway, and retries those that may succeed later."""

import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import httpx
from tenacity import AsyncRetrying

from sepal_client import problems
from sepal_client.attempts import Attempts, ConnectionLost, add_note
from sepal_client.call import Call
from sepal_client.concurrency import AsyncAttempt, async_sleep
from sepal_client.errors import GatewayError, PredictionEnded, SepalError
from sepal_client.keep_alive import KEEP_ALIVE_OPTIONS
from sepal_client.settings import Settings
from sepal_client.timer import Timer

T = TypeVar("T")

_WAIT_FOR_TURN_SECONDS: Final = 30.0
"""How long a gateway may make an upload or a download wait before it begins."""
_MIN_TIMEOUT_SECONDS: Final = 1.0
"""The least time-out, used when a timer is about to expire."""


class AsyncTransport:
    """The connections to one gateway address."""

    def __init__(self, settings: Settings, timeout: float, retry_for: float) -> None:
        """Create the connection pools; the first request opens a connection.

        Args:
            settings: the URL and the credentials.
            timeout: seconds without a byte after which a connection is closed.
            retry_for: seconds without progress for which a request is retried.
        """
        self.url = settings.url
        self._timeout = timeout
        self._retry_for = retry_for
        # Certificates are loaded only for TLS, because that takes 30 ms.
        self.is_unencrypted = settings.url.startswith("http://")
        self._verify = False if self.is_unencrypted else httpx.create_ssl_context()
        self._headers = {} if settings.api_key is None else {"Authorization": f"Bearer {settings.api_key}"}
        self._http = self._new_http_client(httpx.Limits())
        self._http_without_reuse = self._new_http_client(
            httpx.Limits(max_keepalive_connections=0)
        )  # opens one for each request

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._http_without_reuse.aclose()

    def attempts(self, **options: Any) -> Attempts:
        """Return the attempts of a new request; the options are those of `Attempts`."""
        return Attempts(self.url, self._retry_for, **options)

    async def repeat(self, attempts: Attempts, attempt: AsyncAttempt[T]) -> T:
        """Call `attempt` until it succeeds.

        Args:
            attempts: decides whether and when to retry.
            attempt: sends the request once.

        Raises:
            GatewayUnreachable: the connection failed or was lost.
            SepalError: the last attempt raised it.
        """
        try:
            result: T = await AsyncRetrying(sleep=async_sleep, **attempts.tenacity_arguments)(attempt)
        except ConnectionLost as lost:
            raise attempts.unreachable_error(lost) from lost
        except GatewayError as error:
            add_note(error, attempts.acceptance_note() if attempts.may_be_accepted else "")
            raise
        return result

    async def get(self, call: Call, parse: Callable[[Any], T], attempts: Attempts | None = None) -> T:
        """Send a request without a body, with retries, and parse the JSON of the response.

        Args:
            call: the request.
            parse: parses the decoded JSON.
            attempts: by default new ones.

        Raises:
            SepalError: as `repeat`.
        """
        all_attempts = attempts or self.attempts()

        async def attempt() -> T:
            async with self.send_once(call, all_attempts) as response:
                return self.parse_response(response, parse)

        return await self.repeat(all_attempts, attempt)

    def parse_response(self, response: httpx.Response, parse: Callable[[Any], T]) -> T:
        """Parse the JSON of a response.

        Raises:
            GatewayFault: it does not have the form that a gateway sends.
        """
        try:
            return parse(json.loads(response.content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = response.headers.get("content-type", "no Content-Type")
            raise problems.unexpected_response_error(str(response.url), response.status_code, what) from error

    @contextlib.asynccontextmanager
    async def send_once(
        self,
        call: Call,
        attempts: Attempts,
        content: Any = None,
        *,
        is_streamed: bool = False,
        on_new_connection: bool = False,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request once.

        Args:
            call: the request.
            attempts: the attempts that this one belongs to.
            content: the body.
            is_streamed: whether the caller reads the body of the response; otherwise it is read here.
            on_new_connection: whether to open a new connection.

        Raises:
            ConnectionLost: the connection ended before a complete response.
            GatewayError, PredictionEnded: the gateway responded with an error.
        """
        http = self._http_without_reuse if on_new_connection else self._http
        request = http.build_request(
            call.method,
            self.url + call.path,
            params=dict(call.params),
            headers=dict(call.headers),
            content=content,
            timeout=call.timeout or self.request_timeout(),
            extensions=dict(call.extensions),
        )
        try:
            response = await http.send(request, stream=True)
            try:
                if not response.is_success and response.status_code not in call.accepted_statuses:
                    await response.aread()
                    raise self._parse_error(response, attempts)
                # Once a response has begun, its parts arrive without long pauses.
                request.extensions["timeout"]["read"] = call.silence or self._timeout
                if not is_streamed:
                    await response.aread()
                yield response
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            raise ConnectionLost(error) from error

    def request_timeout(self, extra_seconds: float = 0.0, timer: Timer | None = None) -> httpx.Timeout:
        """Return the time-outs of a request.

        Args:
            extra_seconds: seconds that its response may take beyond the usual time-out.
            timer: limits all time-outs.
        """
        longest = max(timer.seconds_left, _MIN_TIMEOUT_SECONDS) if timer is not None else float("inf")
        read, other = min(self._timeout + extra_seconds, longest), min(self._timeout, longest)
        return httpx.Timeout(connect=other, read=read, write=other, pool=None)

    def file_timeout(self, work_seconds: float) -> httpx.Timeout:
        """Return the time-outs of a request that uploads or downloads a file.

        Args:
            work_seconds: seconds that the gateway may need before the response begins.
        """
        write = self._timeout + _WAIT_FOR_TURN_SECONDS
        return httpx.Timeout(connect=self._timeout, read=write + work_seconds, write=write, pool=None)

    def _new_http_client(self, limits: httpx.Limits) -> httpx.AsyncClient:
        transport = None
        if not urllib.request.getproxies():  # httpx uses them only if it creates the transport itself
            transport = httpx.AsyncHTTPTransport(verify=self._verify, limits=limits, socket_options=KEEP_ALIVE_OPTIONS)
        return httpx.AsyncClient(headers=self._headers, verify=self._verify, limits=limits, transport=transport)

    @staticmethod
    def _parse_error(response: httpx.Response, attempts: Attempts) -> SepalError:
        error: GatewayError | PredictionEnded = problems.error_from_response(
            response.status_code, response.headers, response.content, str(response.url), attempts.idempotency_key
        )
        return error
