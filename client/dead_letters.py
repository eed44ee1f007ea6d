"""A typed client of `/dead-letters`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

_PAGE = 1000


class Refused(Exception):
    """The gateway refused the request; `code` is stable, and the message says what the caller can do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class DeadLetterEntry(NamedTuple):
    """A dead letter in the list."""

    id: str
    dead_since: datetime


class DeadLetterClient:
    """Lists, reads, replays and discards dead letters."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def entries(self) -> Iterator[DeadLetterEntry]:
        """List all dead letters, latest first.

        Raises:
            Refused: the gateway refused the request.
            httpx.TransportError: the gateway cannot be reached.
            httpx.HTTPStatusError: the HTTP response is an error without a problem document.
        """
        offset = 0
        while page := self._ask("GET", "", offset=offset, limit=_PAGE).json()["dead_letters"]:
            for entry in page:
                yield DeadLetterEntry(entry["id"], datetime.fromtimestamp(entry["buried"], UTC))
            offset += len(page)

    def show(self, dead_letter_id: str) -> Any:
        """Return a dead letter as the gateway's JSON: its rows, and how each attempt ended.

        Raises:
            Refused, httpx.TransportError, httpx.HTTPStatusError: as for `entries`.
        """
        return self._ask("GET", f"/{dead_letter_id}").json()

    def replay(self, dead_letter_id: str) -> str:
        """Submit a dead letter's rows as a new prediction, and return the path of its result.

        Raises:
            Refused, httpx.TransportError, httpx.HTTPStatusError: as for `entries`.
        """
        return self._ask("POST", f"/{dead_letter_id}/replay").headers["Location"]

    def discard(self, dead_letter_id: str) -> None:
        """Delete a dead letter.

        Raises:
            Refused, httpx.TransportError, httpx.HTTPStatusError: as for `entries`.
        """
        self._ask("DELETE", f"/{dead_letter_id}")

    def _ask(self, method: str, path: str, **query: int) -> httpx.Response:
        response = self._http.request(method, f"/dead-letters{path}", params=query)
        if response.headers.get("Content-Type") == "application/problem+json":
            problem = response.json()
            raise Refused(problem["code"], problem["detail"])
        return response.raise_for_status()
