"""Follows a prediction by server-sent events, or by polling if none arrive."""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Final

from httpx_sse import EventSource, ServerSentEvent

from sepal_client import problems
from sepal_client._async.look_ups import AsyncLookUps
from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import ConnectionLost
from sepal_client.call import Call
from sepal_client.concurrency import async_sleep
from sepal_client.errors import GatewayFault, Unavailable
from sepal_client.progress import Progress, read_progress
from sepal_client.timer import Timer

_EVENT_STREAM: Final = "text/event-stream"
_FIRST_EVENT_SECONDS: Final = 10.0
"""Time-out for the first event: a gateway sends it immediately, but a proxy that buffers responses never does."""
_NEXT_EVENT_SECONDS: Final = 25.0
"""Time-out for later events: if nothing changes, a gateway sends a comment every 15 s."""
_MIN_TIMER_SHARE: Final = 0.8
"""Share of the time-out that must remain on the timer to keep a connection; the wait may exceed it by the rest."""
_MAX_FRUITLESS_CONNECTIONS: Final = 3
_PAUSE_SECONDS: Final = 0.5


class AsyncProgressStream:
    """Yields the progress of one prediction until it is final or a timer expires."""

    def __init__(self, transport: AsyncTransport, look_ups: AsyncLookUps, timer: Timer) -> None:
        """Prepare the stream.

        Args:
            transport: sends the requests.
            look_ups: polls the prediction.
            timer: ends the stream.
        """
        self._transport = transport
        self._look_ups = look_ups
        self._timer = timer
        self._seen: Progress | None = None
        self._last_event_id = ""
        self._has_events = False
        self._n_fruitless = 0
        """The number of successive connections that brought no event."""

    async def changes(self) -> AsyncGenerator[Progress, None]:
        """Yield each observed change; the last one is final, unless the timer expired.

        Raises:
            SepalError: the prediction is unknown, or the gateway is unreachable.
        """
        while True:
            if self._n_fruitless < _MAX_FRUITLESS_CONNECTIONS and not self._timer.is_over:
                async with contextlib.aclosing(self._stream_once()) as events:
                    async for progress in events:
                        yield progress
                if self._is_final:
                    return
            # The stream ended before the prediction did: polling waits for a gateway and detects a missed end.
            progress, pause = await self._look_ups.progress(self._timer)
            if progress != self._seen:
                self._seen = progress
                yield progress
            if self._is_final or self._timer.is_over:
                return
            if self._n_fruitless:
                seconds = pause if self._n_fruitless >= _MAX_FRUITLESS_CONNECTIONS else _PAUSE_SECONDS
                await async_sleep(min(seconds, self._timer.seconds_left))

    @property
    def _is_final(self) -> bool:
        return self._seen is not None and self._seen.is_final

    async def _stream_once(self) -> AsyncGenerator[Progress, None]:
        """Yield the changes that arrive on one connection."""
        self._n_fruitless += 1
        silence = min(
            _NEXT_EVENT_SECONDS if self._has_events else _FIRST_EVENT_SECONDS, max(self._timer.seconds_left, 0.1)
        )
        call, attempts = self._build_call(silence), self._transport.attempts()
        try:
            async with self._transport.send_once(call, attempts, is_streamed=True) as response:
                if response.headers.get("content-type", "").partition(";")[0] != _EVENT_STREAM:
                    self._n_fruitless = _MAX_FRUITLESS_CONNECTIONS
                    return
                async for event in EventSource(response).aiter_sse():
                    if event.data:
                        yield self._record_event(event)
                    if self._is_final or self._timer.seconds_left < _MIN_TIMER_SHARE * silence:
                        return  # the caller connects again, with a shorter time-out
        except ConnectionLost as lost:
            if lost.is_silence and not self._has_events:
                self._n_fruitless = _MAX_FRUITLESS_CONNECTIONS
        except (Unavailable, GatewayFault):  # there are too many streams, or a proxy blocks them
            self._n_fruitless = _MAX_FRUITLESS_CONNECTIONS

    def _record_event(self, event: ServerSentEvent) -> Progress:
        try:
            progress = read_progress(json.loads(event.data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise problems.unexpected_response_error(
                self._transport.url, 200, "an event that Sepal does not send"
            ) from error
        self._n_fruitless, self._has_events = 0, True
        self._last_event_id, self._seen = event.id, progress
        return progress

    def _build_call(self, silence: float) -> Call:
        headers = {"Accept": _EVENT_STREAM, "Cache-Control": "no-store"}
        if self._last_event_id:
            headers["Last-Event-ID"] = self._last_event_id
        path = f"/results/{self._look_ups.prediction_id}/events"
        timeout = self._transport.request_timeout(timer=self._timer)
        return Call("GET", path, headers=headers, timeout=timeout, silence=silence)
