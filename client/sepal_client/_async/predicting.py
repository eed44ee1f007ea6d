"""`POST /predict`: sends rows and waits for their result."""

from typing import Any, Final

from sepal_client._async.prediction import AsyncPrediction
from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import ConnectionLost
from sepal_client.call import Call, SubmissionHeaders
from sepal_client.errors import Unavailable
from sepal_client.result import Result, read_result
from sepal_client.timer import Timer

_LONGEST_WAIT_SECONDS: Final = 20.0  # for one response; after that, the client follows the prediction
_ACCEPTED_STATUS: Final = 202
_TOO_MANY_WAITERS_CODE: Final = "too-many-waiters"


class AsyncSubmission:
    """Rows that are sent with `POST /predict`, with retries."""

    def __init__(
        self, transport: AsyncTransport, body: bytes, idempotency_key: str, deadline: float | None, timer: Timer
    ) -> None:
        """Prepare the submission.

        Args:
            transport: sends the requests.
            body: the rows as JSON.
            idempotency_key: the idempotency key.
            deadline: seconds after which the prediction expires.
            timer: limits the wait for the result.
        """
        self._transport = transport
        self._body = body
        self._headers = SubmissionHeaders(idempotency_key, deadline)
        self._timer = timer
        self._attempts = transport.attempts(idempotency_key=idempotency_key)
        self._may_wait = True

    async def send_and_wait(self) -> Result:
        """Send the rows, and wait for the result.

        Raises:
            WaitTimeout: the timer expired.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
        """
        answer = await self._transport.repeat(self._attempts, self._send)
        if isinstance(answer, Result):
            return answer
        prediction = AsyncPrediction(self._transport, answer, is_bulk=False)
        return await prediction.result(self._timer.seconds_left)

    async def _send(self) -> "Result | str":
        """Send the rows once; return the result, or the id of the prediction if it is not final."""
        seconds = int(min(self._timer.seconds_left, _LONGEST_WAIT_SECONDS)) if self._may_wait else 0
        prefer = f"wait={seconds}" if seconds else "respond-async"
        headers = {"Content-Type": "application/json", "Prefer": prefer, **self._headers.for_new_attempt()}
        call = Call("POST", "/predict", headers=headers, timeout=self._transport.request_timeout(seconds))
        try:
            async with self._transport.send_once(call, self._attempts, self._body) as response:
                if response.status_code == _ACCEPTED_STATUS:
                    return self._transport.parse_response(response, _read_id)
                timing = response.headers.get("server-timing", "")
                return self._transport.parse_response(response, lambda body: read_result(body, timing))
        except ConnectionLost as lost:
            self._attempts.may_be_accepted |= lost.was_connected
            raise
        except Unavailable as error:
            self._may_wait &= error.code != _TOO_MANY_WAITERS_CODE
            raise


def _read_id(body: Any) -> str:
    return str(body["id"])
