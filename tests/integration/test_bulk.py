"""Bulk predictions over HTTP: upload, progress, results, cancellation, listing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.store.schema import Key
from tests.integration.conftest import GatedStack
from tests.stack import Gateway, running_stack, wait_for
from tests.uploads import (
    CSV,
    GATED_HEADER,
    SlowBody,
    accepted,
    csv_of,
    download,
    objects_of,
    records_of,
    upload,
    uploading,
)

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
NDJSON, JSON = "application/x-ndjson", "application/json"
OPEN_GATE, GATE = 0, 3
N_ROWS = 3000  # three slices, as long as the model's rate is unknown


def gated_rows(n_rows: int, gate: int = OPEN_GATE) -> str:
    """Rows of which the last waits at a gate."""
    rows = [[(-1) ** index, OPEN_GATE] for index in range(n_rows - 1)]
    return csv_of(GATED_HEADER, [*rows, [1, gate]])


def expected_csv(n_rows: int) -> str:
    """The result of `gated_rows`."""
    lines = ["1,-Infinity,0.0" if index % 2 == 0 else "0,0.0,-Infinity" for index in range(n_rows - 1)]
    return "\n".join(["prediction,log_proba_0,log_proba_1", *lines, "1,-Infinity,0.0"]) + "\n"


def accepted_in_slices(gated: GatedStack, rows: str) -> str:
    """Upload rows whose first slice is small, because the rate of the model is not known."""
    gated.stack.redis.delete(Key.RATES)
    return accepted(gated.gateway, rows)


@pytest.fixture(scope="module")
def two_gateways(gated: GatedStack) -> tuple[Gateway, Gateway]:
    return gated.gateway, gated.stack.start_gateway("tests.patient").wait_until_ready()


def test_uploaded_rows_are_scored_in_order(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(N_ROWS))
    result = download(gated.gateway, location)
    assert result.status_code == 200
    assert result.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert result.text == expected_csv(N_ROWS)


def test_accepted_upload_is_described(gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        response = upload(gated.gateway, gated_rows(10, GATE))
        assert response.status_code == 202
        described = response.json()
        assert described["rows"] == {"done": 0, "total": 10, "bad": 0}
        assert described["status"] == "queued"
        assert described["model"] == gated.gateway.client.get("/results/" + described["id"]).json()["model"]
    assert gated.gateway.poll(response.headers["Location"]).status_code == 200


def test_progress_is_shown_while_it_runs(gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        location = accepted_in_slices(gated, gated_rows(N_ROWS, GATE))

        def waits_for_the_last_slice() -> dict[str, Any] | None:
            response = gated.gateway.client.get(location)
            assert response.status_code == 202
            shown: dict[str, Any] = response.json()
            return shown if shown["rows"]["done"] >= 1000 else None

        shown = wait_for(waits_for_the_last_slice, "some rows")
        assert shown["status"] == "running"
        assert shown["rows"]["done"] < N_ROWS
        assert shown["rows_per_second"] > 0
        assert shown["seconds_left"] >= 0
        assert shown["position"] == 0
        partial = gated.gateway.client.get(f"{location}?partial=true", headers={"Accept": CSV})
        assert partial.status_code == 200
        lines = partial.text.splitlines()
        assert lines == expected_csv(N_ROWS).splitlines()[: len(lines)]
        assert len(lines) > 1000
    assert download(gated.gateway, location).text == expected_csv(N_ROWS)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [("?offset=2&limit=3", 2, 5), ("?offset=1998&limit=1004", 1998, 3000), ("?limit=0", 0, 0), ("?offset=5000", 0, 0)],
)
def test_window_gives_some_of_the_rows(gated: GatedStack, query: str, first: int, last: int) -> None:
    location = accepted(gated.gateway, gated_rows(N_ROWS))
    header, *lines = expected_csv(N_ROWS).splitlines()
    assert download(gated.gateway, location, query=query).text.splitlines() == [header, *lines[first:last]]


def test_json_has_the_shape_of_predict(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(4))
    result = download(gated.gateway, location, JSON).json()
    direct = gated.gateway.predict([[1, 0], [-1, 0], [1, 0], [1, 0]]).json()
    assert {name: result[name] for name in direct if name != "id"} == {
        name: direct[name] for name in direct if name != "id"
    }
    assert result["rows"] == {"done": 4, "total": 4, "bad": 0}


def test_accept_decides_about_the_format(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(4))
    for accept, media_type in [
        ("*/*", JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        (f"{CSV};q=0.5, {NDJSON}", NDJSON),
        (f"{JSON};q=0.1, {PARQUET};q=0.2", PARQUET),
        (f"{ARROW}, {JSON};q=0", ARROW),
    ]:
        response = download(gated.gateway, location, accept)
        assert response.headers["Content-Type"].partition(";")[0] == media_type
        assert "Accept" in response.headers["Vary"]
    refused = download(gated.gateway, location, "image/png")
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")


def test_small_predictions_have_no_tables(gated: GatedStack) -> None:
    location = gated.gateway.predict([[1, 0]], prefer="respond-async").headers["Location"]
    assert gated.gateway.poll(location).status_code == 200
    refused = gated.gateway.client.get(location, headers={"Accept": CSV})
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")
    refused = gated.gateway.client.get(f"{location}?limit=1")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-parameter")


def test_text_is_compressed_if_the_client_takes_it(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(N_ROWS))
    compressed = download(gated.gateway, location, Accept_Encoding="gzip")
    plain = download(gated.gateway, location, Accept_Encoding="identity, gzip;q=0")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert compressed.text == plain.text == expected_csv(N_ROWS)
    assert "Accept-Encoding" in plain.headers["Vary"]


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_ranges_of_a_final_file_are_the_whole(two_gateways: tuple[Gateway, Gateway], media_type: str) -> None:
    one, two = two_gateways
    location = accepted(one, gated_rows(N_ROWS))
    whole = download(one, location, media_type)
    etag = whole.headers["ETag"]
    assert whole.headers["Accept-Ranges"] == "bytes"
    size = len(whole.content)
    half = size // 2
    first = download(one, location, media_type, Range=f"bytes=0-{half - 1}")
    rest = download(two, location, media_type, Range=f"bytes={half}-", If_Range=etag)
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.headers["Content-Range"] == f"bytes 0-{half - 1}/{size}"
    assert first.headers["ETag"] == rest.headers["ETag"] == etag
    assert first.content + rest.content == whole.content
    head = one.client.head(location, headers={"Accept": media_type})
    assert (head.status_code, head.headers["Content-Length"], head.headers["ETag"]) == (200, str(size), etag)
    beyond = download(one, location, media_type, Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    other = download(one, location, media_type, Range="bytes=0-1", If_Range='"other"')
    assert (other.status_code, other.content) == (200, whole.content)
    known = download(two, location, media_type, If_None_Match=etag)
    assert (known.status_code, known.content) == (304, b"")
    some = download(one, location, media_type, "?limit=5", Range="bytes=0-1")
    assert (some.status_code, some.headers["ETag"] == etag, "Accept-Ranges" in some.headers) == (200, False, False)


def test_head_does_not_write_a_text(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(4))
    assert download(gated.gateway, location).status_code == 200
    head = gated.gateway.client.head(location, headers={"Accept": CSV})
    assert (head.status_code, head.content, head.headers["Content-Type"]) == (200, b"", "text/csv; charset=utf-8")


def test_canceled_prediction_loses_its_objects(gated: GatedStack) -> None:
    client = gated.gateway.client
    with gated.gates.closed(GATE):
        location = accepted_in_slices(gated, gated_rows(N_ROWS, GATE))
        batch_id = location.removeprefix("/results/")[:20]
        wait_for(lambda: client.get(location).json()["status"] == "running", "a running prediction")
        canceled = client.delete(location)
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
        again = client.delete(location)
        assert (again.status_code, again.json()["code"]) == (409, "prediction-already-final")
    assert (client.get(location).status_code, client.get(location).json()["status"]) == (200, "canceled")
    wait_for(lambda: not any(batch_id in key for key in objects_of(gated.stack)), "deleted objects")
    assert client.get(location, headers={"Accept": CSV}).json()["status"] == "canceled"


def test_repeated_idempotency_key_leads_to_the_first_prediction(two_gateways: tuple[Gateway, Gateway]) -> None:
    one, two = two_gateways
    key = '"the-first"'
    first = upload(one, gated_rows(5), Idempotency_Key=key)
    again = upload(two, gated_rows(5), Idempotency_Key=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    other_body = upload(two, gated_rows(6), Idempotency_Key=key)
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency-key-reused")
    other_query = upload(two, gated_rows(5), query="?on_error=report", Idempotency_Key=key)
    assert (other_query.status_code, other_query.json()["code"]) == (422, "idempotency-key-reused")
    other_client = upload(two, gated_rows(5), Idempotency_Key=key, Authorization="Bearer other")
    assert other_client.json()["id"] != first.json()["id"]


def test_key_of_an_upload_is_in_use_until_it_ends(gated: GatedStack, two_gateways: tuple[Gateway, Gateway]) -> None:
    one, two = two_gateways
    key = '"under-way"'
    header, *lines = gated_rows(5).splitlines(keepends=True)
    body = SlowBody(header, *lines)

    def reserved() -> set[bytes]:
        return set(gated.stack.redis.scan_iter(f"{Key.IDEMPOTENCY}*"))

    before = reserved()
    with uploading(one, body, Idempotency_Key=key) as ended:
        wait_for(lambda: reserved() - before, "the reserved key")
        refused = upload(two, "", Idempotency_Key=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency-key-in-use")
        small = two.client.post("/predict", json={"data": [[1, 0]]}, headers={"Idempotency-Key": key})
        assert small.status_code == 409
    assert ended[0].status_code == 202
    again = upload(two, gated_rows(5), Idempotency_Key=key)
    assert again.json()["id"] == ended[0].json()["id"]


def test_key_of_a_refused_upload_is_free_again(gated: GatedStack) -> None:
    key = '"refused"'
    assert upload(gated.gateway, "nonsense\n", Idempotency_Key=key).status_code >= 400
    assert upload(gated.gateway, gated_rows(5), Idempotency_Key=key).status_code == 202


def test_events_follow_a_prediction_and_go_on_at_another_gateway(
    gated: GatedStack, two_gateways: tuple[Gateway, Gateway]
) -> None:
    one, two = two_gateways
    with gated.gates.closed(GATE):
        location = accepted_in_slices(gated, gated_rows(N_ROWS, GATE))
        with events(one, location) as followed:
            first = next(followed)
            assert first["event"] == "progress"
            assert first["data"]["id"] == location.removeprefix("/results/")
            seen = first
            while seen["data"]["rows"]["done"] < 1000:
                following = next(followed)
                assert int(following["id"]) > int(seen["id"])
                seen = following
        gated.gates.open(GATE)
        with events(two, location, seen["id"]) as followed:
            rest = list(followed)
    assert [int(event["id"]) for event in rest] == sorted({int(event["id"]) for event in rest})
    assert int(rest[0]["id"]) > int(seen["id"])
    assert [event["event"] for event in rest][-1] == "end"
    assert "end" not in [event["event"] for event in rest][:-1]
    assert rest[-1]["data"]["status"] == "succeeded"
    assert rest[-1]["data"]["rows"] == {"done": N_ROWS, "total": N_ROWS, "bad": 0}
    over = one.client.get(f"{location}/events", headers={"Last-Event-ID": rest[-1]["id"]})
    assert (over.status_code, over.content) == (204, b"")


def test_small_predictions_have_events(gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        location = gated.gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        with events(gated.gateway, location) as followed:
            assert next(followed)["event"] == "progress"
            gated.gates.open(GATE)
            *_, last = followed
    assert (last["event"], last["data"]["status"]) == ("end", "succeeded")
    assert "prediction" not in last["data"]


def test_owner_lists_its_predictions_in_pages(gated: GatedStack) -> None:
    mine = {"Authorization": "Bearer mine"}
    locations = [accepted(gated.gateway, gated_rows(2), **mine) for _ in range(5)]
    ids = [location.removeprefix("/results/") for location in reversed(locations)]
    client = gated.gateway.client
    for location in locations:
        gated.gateway.poll(location)
    listed = client.get("/predictions", headers=mine).json()
    assert [each["id"] for each in listed["predictions"]] == ids
    assert "cursor" not in listed
    pages, cursor = [], ""
    while True:
        page = client.get(f"/predictions?limit=2{cursor}", headers=mine).json()
        pages.append([each["id"] for each in page["predictions"]])
        if "cursor" not in page:
            break
        cursor = f"&cursor={page['cursor']}"
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert client.get("/predictions?state=canceled&state=failed", headers=mine).json() == {"predictions": []}
    assert len(client.get("/predictions?state=succeeded", headers=mine).json()["predictions"]) == 5
    other = client.get("/predictions", headers={"Authorization": "Bearer other-owner"}).json()
    assert other == {"predictions": []}
    for query in ("?state=done", "?limit=0", "?cursor=x"):
        assert client.get(f"/predictions{query}", headers=mine).status_code == 422


def test_id_with_another_secret_is_unknown(gated: GatedStack) -> None:
    location = accepted(gated.gateway, gated_rows(2))
    guess = location[:-1] + ("A" if location[-1] != "A" else "B")
    for path in (guess, f"{guess}/events"):
        assert gated.gateway.client.get(path).status_code == 404
    assert gated.gateway.client.delete(guess).status_code == 404
    assert gated.gateway.poll(location).status_code == 200


@pytest.mark.parametrize(
    ("media_type", "query", "headers", "status", "code"),
    [
        ("text/plain", "", {}, 415, "unsupported-content-type"),
        (CSV, "", {"Content_Encoding": "br"}, 415, "unsupported-content-coding"),
        (CSV, "?meta=true", {}, 422, "invalid-parameter"),
        (CSV, "", {"Sepal_Deadline": "soon"}, 400, "invalid-deadline"),
        (CSV, "", {"Idempotency_Key": '""'}, 400, "invalid-idempotency-key"),
    ],
)
def test_head_that_cannot_be_accepted_is_refused_before_the_body(
    gated: GatedStack, media_type: str, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    objects, records = objects_of(gated.stack), records_of(gated.stack)
    response = upload(gated.gateway, gated_rows(2), media_type, query, **headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert objects_of(gated.stack) == objects
    assert records_of(gated.stack).items() <= records.items()  # a record of an earlier test may have expired


def test_deadline_ends_a_prediction(gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        location = accepted(gated.gateway, gated_rows(5, GATE), Sepal_Deadline="2")
        assert download(gated.gateway, location).json()["status"] == "expired"


class Events:
    """The events of a response, parsed as they arrive."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for line in self._lines:
            if not line and event:
                return event | {"data": json.loads(event["data"])}
            name, _, value = line.partition(": ")
            if name:
                event[name] = value
        raise StopIteration


class events:  # noqa: N801  a context manager
    """Follow a prediction."""

    def __init__(self, gateway: Gateway, location: str, last: str | None = None) -> None:
        headers = {} if last is None else {"Last-Event-ID": last}
        self._stream = gateway.client.stream("GET", f"{location}/events", headers=headers)

    def __enter__(self) -> Iterator[dict[str, Any]]:
        response = self._stream.__enter__()
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        return iter(Events(response))

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)


def test_result_too_large_for_json_says_what_to_ask_for(tmp_path: Path, model_dir: Path) -> None:
    with running_stack(tmp_path, model_dir, max_rows=10) as (_, gateway):
        location = accepted(gateway, gated_rows(101))
        refused = download(gateway, location, JSON)
        assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")
        assert NDJSON in refused.json()["detail"]
        assert download(gateway, location).status_code == 200
        assert len(download(gateway, location, JSON, "?offset=50&limit=100").json()["prediction"]) == 51
        for media_type, query in ((JSON, "?limit=0"), ("*/*", "")):
            status = download(gateway, location, media_type, query).json()
            assert (status["status"], "prediction" in status) == ("succeeded", False)


def test_final_prediction_and_its_objects_are_gone_after_retention(tmp_path: Path, model_dir: Path) -> None:
    with running_stack(tmp_path, model_dir, bulk_result_ttl_seconds=2) as (stack, gateway):
        location = accepted(gateway, gated_rows(5))
        batch_id = location.removeprefix("/results/")[:20]
        # A download would extend the retention; a status does not.
        wait_for(lambda: gateway.client.get(f"{location}?limit=0").status_code == 410, "the end of the retention")
        wait_for(lambda: not objects_of(stack), "deleted objects")
        assert gateway.client.get(location).status_code == 410
        wait_for(lambda: not [key for key in records_of(stack) if batch_id.encode() in key], "no record")
