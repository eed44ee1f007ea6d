"""Uploads of bulk predictions over HTTP, and what they leave in Redis and in the object store."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from shared.bulk import MARKER_KEY
from shared.objects import ObjectStore
from shared.store.schema import Key
from tests.stack import Gateway, Stack, wait_for

CSV = "text/csv"
GATED_HEADER = "column 0,column 1"
"""The columns of a pipeline of `tests.pipelines`."""
_TRANSIENT = (
    *(Key.WORKERS, Key.LEASES, Key.UNACKED, Key.UNACKED_INDEX, Key.RECONCILER, Key.SEQUENCE, Key.MARKER, Key.RATES),
    "_kombu",
)


def csv_of(header: str, rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as CSV."""
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def upload(gateway: Gateway, body: Any, media_type: str = CSV, query: str = "", **headers: str) -> httpx.Response:
    """Upload a body; underscores in the names of headers stand for hyphens."""
    named = {"Content-Type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.client.post(f"/predictions{query}", content=body, headers=named)


def accepted(gateway: Gateway, body: Any, media_type: str = CSV, query: str = "", **headers: str) -> str:
    """Upload a body that is accepted; return the path of its prediction."""
    response = upload(gateway, body, media_type, query, **headers)
    assert response.status_code == 202, response.text
    assert response.headers["Location"] == f"/results/{response.json()['id']}"
    assert int(response.headers["Retry-After"]) >= 1
    return str(response.headers["Location"])


def download(gateway: Gateway, location: str, media_type: str = CSV, query: str = "", **headers: str) -> httpx.Response:
    """Download a result once its prediction is final."""
    named = {"Accept": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}

    def final() -> httpx.Response | None:
        response = gateway.client.get(location + query, headers=named)
        return response if response.status_code != 202 else None

    return wait_for(final, f"a final {location}")


def objects_of(stack: Stack) -> list[str]:
    """List the objects of a stack, those of unfinished writes too, without the marker."""
    store = ObjectStore.open(str(stack.settings["object_store_url"]))
    return sorted(stored.key for stored in store.list() if stored.key != MARKER_KEY)


def records_of(stack: Stack) -> dict[bytes, Any]:
    """Return the contents of Redis, without values that change by themselves."""
    found = {}
    keys: Any = stack.redis.keys("*")
    for key in keys:
        if not key.decode().startswith(_TRANSIENT):
            found[key] = stack.redis.dump(key)
    return found


class SlowBody:
    """A body that stays unfinished until the test lets it end."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts
        self.is_sent = threading.Event()
        """Whether all parts but the last have been sent."""
        self._may_end = threading.Event()

    def end(self) -> None:
        self._may_end.set()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts[:-1]:
            yield part.encode()
        self.is_sent.set()
        self._may_end.wait()
        yield self._parts[-1].encode()


@contextmanager
def uploading(gateway: Gateway, body: SlowBody, query: str = "", **headers: str) -> Iterator[list[Any]]:
    """Upload a body in a thread; the response, or the error, is in the list at the end of the context."""
    ended: list[Any] = []

    def run() -> None:
        with httpx.Client(base_url=gateway.client.base_url, timeout=gateway.client.timeout, verify=False) as client:
            named = {"Content-Type": CSV} | {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                ended.append(client.post(f"/predictions{query}", content=iter(body), headers=named))
            except httpx.TransportError as error:
                ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        body.end()
        thread.join()
