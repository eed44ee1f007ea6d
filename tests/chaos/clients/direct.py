"""Requests without the library and the proxy: submits predictions, and fetches stored results."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx

from shared.ids import PredictionId
from tests.chaos.clients.judge import Stored
from tests.chaos.clients.rows import ReferencePipeline, Rows, read_file
from tests.chaos.clients.site import ClientSite
from tests.patience import patience
from tests.stack import wait_for

_ARROW: Final = "application/vnd.apache.arrow.stream"
_PARQUET: Final = "application/vnd.apache.parquet"
_SUCCEEDED: Final = "succeeded"


def submit(site: ClientSite, rows: Rows, *, is_bulk: bool, key: str) -> str:
    """Submit a prediction until it is accepted; return its id."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f'"{uuid.uuid4()}"'}

    def post() -> httpx.Response:
        if is_bulk:
            bulk_headers = headers | {"Content-Type": _PARQUET}
            return site.gateway().post("/predictions", content=rows.file(".parquet"), headers=bulk_headers)
        body = {"data": rows.matrix().tolist()}
        return site.gateway().post("/predict", json=body, headers=headers | {"Prefer": "respond-async"})

    response = _available(post)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def wait_until_final(site: ClientSite, prediction_id: str) -> None:
    """Wait until a prediction has succeeded."""
    wait_for(lambda: _fetch_status(site, prediction_id) == _SUCCEEDED, "a prediction that has succeeded")


def collect(site: ClientSite, rows: dict[int, Rows], reference: ReferencePipeline, known: set[str]) -> Iterator[Stored]:
    """Yield the stored predictions, once each is final or the time-out is reached.

    Args:
        site: a site without any fault.
        rows: those of each submission, by the number of the first one.
        reference: computes the expected results.
        known: predictions to leave out.
    """
    deadline = time.monotonic() + patience()
    for found in site.predictions():
        if str(found) not in known:
            yield _collect(site, found, rows, reference, deadline)


def listed(site: ClientSite, key: str) -> int:
    """Return the number of bulk predictions of an API key."""
    response = _get(site, "/predictions", {"Authorization": f"Bearer {key}"})
    return len(response.json()["predictions"])


def _collect(
    site: ClientSite, found: PredictionId, rows: dict[int, Rows], reference: ReferencePipeline, deadline: float
) -> Stored:
    prediction_id = str(found)
    while (state := _fetch_status(site, prediction_id)) in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.05)
    if state != _SUCCEEDED:
        return Stored(prediction_id, None, state)
    columns = _fetch_columns(site, found, reference)
    first = int(columns["prediction"][0])
    is_right = first in rows and reference.equals(rows[first], columns)
    return Stored(prediction_id, first, state, is_right)


def _fetch_columns(site: ClientSite, found: PredictionId, reference: ReferencePipeline) -> dict[str, Any]:
    if found.is_stored:
        return read_file(_get(site, f"/results/{found}", {"Accept": _ARROW}).content, ".arrow")
    content = _get(site, f"/results/{found}", {}).json()
    return reference.columns(content["prediction"], [[float(value) for value in row] for row in content["log_proba"]])


def _fetch_status(site: ClientSite, prediction_id: str) -> str:
    query = "?limit=0" if PredictionId.parse(prediction_id).is_stored else ""  # without its rows
    content = _get(site, f"/results/{prediction_id}{query}", {}).json()
    return str(content.get("status") or content.get("code"))


def _get(site: ClientSite, path: str, headers: dict[str, str]) -> httpx.Response:
    return _available(lambda: site.gateway().get(path, headers=headers))


def _available(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Repeat a request while it is answered with 503, as by a gateway whose broker is slow."""

    def response_but_503() -> httpx.Response | None:
        response = send()
        return response if response.status_code != 503 else None

    return wait_for(response_but_503, "an available gateway")
