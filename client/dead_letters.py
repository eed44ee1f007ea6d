"""A typed client of `/dead-letters`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

_PAGE = 1000


class Refused(Exception):
    """The gateway said no; `code` is stable, and the message says what can be done."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ListedLetter(NamedTuple):
    """One dead letter in the list."""

    id: str
    buried: datetime


class DeadLetterClient:
    """Looks at dead letters, and decides on them."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def entries(self) -> Iterator[ListedLetter]:
        """List all there are, the latest first.

        Raises:
            Refused: the gateway says why.
            httpx.TransportError: it cannot be reached.
        """
        offset = 0
        while page := self._ask("GET", "", offset=offset, limit=_PAGE).json()["dead_letters"]:
            for entry in page:
                yield ListedLetter(entry["id"], datetime.fromtimestamp(entry["buried"], UTC))
            offset += len(page)

    def show(self, dead_letter_id: str) -> Any:
        """Its rows, and how each attempt at them ended, as the gateway writes them.

        Raises:
            Refused, httpx.TransportError: as `entries`.
        """
        return self._ask("GET", f"/{dead_letter_id}").json()

    def replay(self, dead_letter_id: str) -> str:
        """Submit its rows as a new prediction; returns where to ask for the result.

        Raises:
            Refused, httpx.TransportError: as `entries`.
        """
        return self._ask("POST", f"/{dead_letter_id}/replay").headers["Location"]

    def discard(self, dead_letter_id: str) -> None:
        """Forget it.

        Raises:
            Refused, httpx.TransportError: as `entries`.
        """
        self._ask("DELETE", f"/{dead_letter_id}")

    def _ask(self, method: str, path: str, **query: int) -> httpx.Response:
        response = self._http.request(method, f"/dead-letters{path}", params=query)
        if response.headers.get("Content-Type") == "application/problem+json":
            problem = response.json()
            raise Refused(problem["code"], problem["detail"])
        return response.raise_for_status()
