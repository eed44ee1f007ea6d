"""The dead letters of a service, for operators."""

from collections.abc import AsyncIterator
from typing import Any, Final

from sepal_client._async.prediction import AsyncPrediction
from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import ConnectionLost
from sepal_client.call import Call
from sepal_client.dead_letter import DeadLetterEntry, read_entry
from sepal_client.errors import DeadLetterNotFound, InvalidInput
from sepal_client.settings import OPERATOR_TOKEN_VARIABLE

_PAGE_ENTRIES: Final = 1000


class AsyncDeadLetters:
    """Lists, shows, replays and discards dead letters; needs the operator token."""

    def __init__(self, transport: AsyncTransport, token: str | None) -> None:
        """Called by the client, as its attribute `dead_letters`.

        Args:
            transport: sends the requests.
            token: the operator token.
        """
        self._transport = transport
        self._token = token

    async def entries(self) -> AsyncIterator[DeadLetterEntry]:
        """List all dead letters, the latest first."""
        offset = 0
        while True:
            call = self._build_call("GET", "", offset=str(offset), limit=str(_PAGE_ENTRIES))
            page = await self._transport.get(call, lambda body: list(map(read_entry, body["dead_letters"])))
            if not page:
                return
            for entry in page:
                yield entry
            offset += len(page)

    async def show(self, dead_letter_id: str) -> Any:
        """Return a dead letter as the gateway's JSON: its rows, and how each attempt ended.

        Raises:
            DeadLetterNotFound: there is no dead letter with this id.
        """
        return await self._transport.get(self._build_call("GET", f"/{dead_letter_id}"), lambda body: body)

    async def replay(self, dead_letter_id: str) -> AsyncPrediction:
        """Submit the rows of a dead letter as a new prediction.

        The request is not retried if the connection is lost before the response: list the dead letters to see whether
        it was replayed.

        Raises:
            DeadLetterNotFound: there is no dead letter with this id.
        """
        attempts = self._transport.attempts(is_idempotent=False)
        call = self._build_call("POST", f"/{dead_letter_id}/replay")
        prediction_id = await self._transport.get(call, lambda body: str(body["id"]), attempts)
        return AsyncPrediction(self._transport, prediction_id, is_bulk=False)

    async def discard(self, dead_letter_id: str) -> None:
        """Delete a dead letter.

        Raises:
            DeadLetterNotFound: there is no dead letter with this id.
        """
        attempts, call = self._transport.attempts(), self._build_call("DELETE", f"/{dead_letter_id}")
        is_repeated = False

        async def attempt() -> None:
            nonlocal is_repeated
            try:
                async with self._transport.send_once(call, attempts):
                    pass
            except ConnectionLost:
                is_repeated = True
                raise

        try:
            await self._transport.repeat(attempts, attempt)
        except DeadLetterNotFound:
            if not is_repeated:  # otherwise an attempt whose response was lost may have deleted it
                raise

    def _build_call(self, method: str, path: str, **params: str) -> Call:
        if self._token is None:
            raise InvalidInput(
                f"Dead letters require the operator token of the gateway: set {OPERATOR_TOKEN_VARIABLE}."
            )
        return Call(method, f"/dead-letters{path}", params, {"Authorization": f"Bearer {self._token}"})
