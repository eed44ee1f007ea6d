"""Handles `/results/{id}` of bulk predictions: returns the status, or rows in the format that `Accept` prefers."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from fastapi import Request, Response
from starlette.datastructures import Headers

from api.bulk.downloads import Downloads, Window
from api.bulk.formats import BINARY_FORMATS, FORMATS_BY_MEDIA_TYPE, MEDIA_TYPES, Format
from api.http.methods import IS_HEAD_KEY
from api.http.negotiation import accepted_type
from api.http.ranges import ByteRange, has_current_copy, is_range_requested, requested_range
from api.http.security import NO_STORE, NOSNIFF
from api.http.status import bulk_prediction_status, retry_after_seconds
from api.http.streaming import StreamedResponse
from api.telemetry.metrics import GatewayMetrics
from shared.errors import InvalidParameter, NotAcceptable
from shared.ids import PredictionId
from shared.names import FINAL_STATES, Queue, State
from shared.store.bulk import BulkPrediction, BulkStore

_STATES_WITH_RESULTS: Final = frozenset({State.QUEUED, State.RUNNING, State.SUCCEEDED})
"""The states in which rows that are done can be read; in the other states, their objects are deleted."""
_HEADERS: Final = {NOSNIFF[0].decode(): NOSNIFF[1].decode(), "vary": "Accept, Accept-Encoding"}
_GZIP: Final = "gzip"
_ZERO_WEIGHT: Final = re.compile(r"[ \t]*q=0(\.0*)?[ \t]*")


class StoredResults:
    """Responds with the status or the rows of bulk predictions."""

    def __init__(
        self,
        store: BulkStore,
        downloads: Downloads,
        metrics: GatewayMetrics,
        retry_after: Callable[[Queue], int],
        max_json_rows: int,
    ) -> None:
        self._store = store
        self._downloads = downloads
        self._metrics = metrics
        self._retry_after = retry_after
        self._max_json_rows = max_json_rows

    async def respond(self, prediction_id: PredictionId, request: Request, window: Window) -> Response:
        """Respond with the rows if they are available, otherwise with the status.

        Raises:
            NotAcceptable: the client accepts no supported format, or requests too many rows as JSON.
            RangeNotSatisfiable: the file has no byte in the `Range`.
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `BulkStore.read`.
        """
        form = _preferred_format(request.headers)
        prediction = await self._store.read(prediction_id)
        is_only_status = form is Format.JSON and window.limit == 0 and not window.is_partial
        if is_only_status or not _has_available_results(prediction, window):
            return self.status_response(prediction)
        if form is Format.JSON and window.n_rows(prediction.source.n_rows) > self._max_json_rows:
            self._refuse_explicit_json(request.headers, window.n_rows(prediction.source.n_rows))
            return self.status_response(prediction)
        if form in BINARY_FORMATS and prediction.state is State.SUCCEEDED:
            return await self._respond_with_file(prediction, request, window, form)
        coding = _GZIP if form not in BINARY_FORMATS and _accepts_gzip(request.headers) else ""
        return await self._respond_with_stream(
            prediction, request, window, form, {"content-encoding": coding} if coding else {}
        )

    async def cancel(self, prediction_id: PredictionId) -> Response:
        """Cancel a bulk prediction, whose objects are then swept, and respond with its status.

        Raises:
            PredictionAlreadyFinal, PredictionNotFound, PredictionGone, BrokerUnavailable: as `BulkStore.cancel`.
        """
        await self._store.cancel(prediction_id)
        self._metrics.count_canceled(Queue.BULK)
        return self.status_response(await self._store.read(prediction_id))

    def status_response(self, prediction: BulkPrediction, status: int | None = None) -> Response:
        """Return the status as JSON; while the prediction is open, with 202, `Location` and `Retry-After`."""
        body = msgspec.json.encode(bulk_prediction_status(prediction))
        response = Response(body, status or (200 if prediction.state in FINAL_STATES else 202))
        response.raw_headers += [(b"content-type", b"application/json"), NO_STORE, NOSNIFF, (b"vary", b"Accept")]
        if response.status_code == 202:
            seconds = retry_after_seconds(prediction) or self._retry_after(Queue.BULK)
            response.headers["location"] = f"/results/{prediction.id}"
            response.headers["retry-after"] = str(seconds)
        return response

    def _refuse_explicit_json(self, headers: Headers, n_rows: int) -> None:
        """Refuse a client whose `Accept` names JSON; one that accepts any type gets the status instead."""
        if MEDIA_TYPES[Format.JSON] in ",".join(headers.getlist("accept")).lower():
            others = ", ".join(
                media_type for media_type in FORMATS_BY_MEDIA_TYPE if media_type != MEDIA_TYPES[Format.JSON]
            )
            raise NotAcceptable(
                f"JSON is limited to {self._max_json_rows} rows, and these are {n_rows}. Request one of {others} with "
                "`Accept`, or fewer rows with `?offset=` and `?limit=`; `?limit=0` returns only the status."
            )

    async def _respond_with_file(
        self, prediction: BulkPrediction, request: Request, window: Window, result_format: Format
    ) -> Response:
        """Respond with a file that has a strong tag, or with a range of it if it contains all rows."""
        tag = self._downloads.make_etag(prediction, window, result_format)
        headers = {"etag": f'"{tag}"', "cache-control": "private, no-cache"}
        if has_current_copy(request.headers, headers["etag"]):
            return _empty_response(304, headers, result_format)
        if not window.has_all_rows:  # there are too many possible windows to keep a file for each
            return await self._respond_with_stream(prediction, request, window, result_format, headers)
        headers["accept-ranges"] = "bytes"
        is_range = is_range_requested(request.headers, headers["etag"])
        if not is_range and IS_HEAD_KEY not in request.scope:
            return await self._respond_with_stream(prediction, request, window, result_format, headers)
        written = await self._downloads.get_or_write_object(prediction, result_format, tag)
        part = requested_range(request.headers, written.n_bytes) if is_range else ByteRange(0, written.n_bytes)
        headers["content-length"] = str(part.end - part.start)
        if is_range:
            headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{written.n_bytes}"
        status = 206 if is_range else 200
        if IS_HEAD_KEY in request.scope:
            return _empty_response(status, headers, result_format)
        open_parts = partial(self._downloads.read_range, prediction.id, written, part.start, part.end - part.start)
        return StreamedResponse(open_parts, status, _response_headers(result_format, headers))

    async def _respond_with_stream(
        self,
        prediction: BulkPrediction,
        request: Request,
        window: Window,
        result_format: Format,
        headers: Mapping[str, str],
    ) -> Response:
        if IS_HEAD_KEY in request.scope:
            return _empty_response(200, headers, result_format)
        head = msgspec.json.encode(bulk_prediction_status(prediction))[1:-1] if result_format is Format.JSON else b""
        is_gzipped = headers.get("content-encoding") == _GZIP
        job = await self._downloads.make_job(prediction, window, result_format, head, is_gzipped=is_gzipped)
        if not job.results:  # the first rows are not done
            return self.status_response(prediction)
        return StreamedResponse(
            partial(self._downloads.stream, prediction.id, job), 200, _response_headers(result_format, headers)
        )


def check_requests_json(headers: Headers, window: Window) -> None:
    """Check that a request for a result of `POST /predict` is for JSON and all rows.

    Raises:
        NotAcceptable: the client prefers another format.
        InvalidParameter: the request is for some of the rows.
    """
    if window != Window():
        raise InvalidParameter("`offset`, `limit` and `partial` are only for results of POST /predictions.")
    if accepted_type(headers.getlist("accept"), list(FORMATS_BY_MEDIA_TYPE)) not in (None, MEDIA_TYPES[Format.JSON]):
        raise NotAcceptable("The result of POST /predict is JSON; only POST /predictions has other formats.")


def _has_available_results(prediction: BulkPrediction, window: Window) -> bool:
    if window.is_partial and prediction.rows_done:
        return prediction.state in _STATES_WITH_RESULTS
    return prediction.state is State.SUCCEEDED


def _preferred_format(headers: Headers) -> Format:
    media_type = accepted_type(headers.getlist("accept"), list(FORMATS_BY_MEDIA_TYPE))
    if media_type is None:
        raise NotAcceptable(f"{NotAcceptable.detail} Their media types are {', '.join(FORMATS_BY_MEDIA_TYPE)}.")
    return FORMATS_BY_MEDIA_TYPE[media_type]


def _accepts_gzip(headers: Headers) -> bool:
    """Return whether `Accept-Encoding` allows gzip (RFC 9110, section 12.5.3)."""
    members = [member.partition(";") for member in ",".join(headers.getlist("accept-encoding")).lower().split(",")]
    accepted = {coding.strip(): _ZERO_WEIGHT.fullmatch(weight) is None for coding, _, weight in members}
    return accepted.get(_GZIP, accepted.get("*", False))


def _response_headers(result_format: Format, headers: Mapping[str, str]) -> dict[str, str]:
    charset = "; charset=utf-8" if result_format is Format.CSV else ""
    kept = {} if "cache-control" in headers else {NO_STORE[0].decode(): NO_STORE[1].decode()}
    return {"content-type": MEDIA_TYPES[result_format] + charset, **_HEADERS, **kept, **headers}


def _empty_response(status: int, headers: Mapping[str, str], result_format: Format) -> Response:
    """Return a response without content."""
    response = Response(status_code=status)
    response.raw_headers = [
        (name.encode(), value.encode()) for name, value in _response_headers(result_format, headers).items()
    ]
    return response
