"""`POST /predictions`: reads the headers and the query of an upload, and passes its body on as it arrives."""

import time
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import Receive
from structlog.contextvars import bind_contextvars

from api.bulk.formats import FORMATS_BY_MEDIA_TYPE, MEDIA_TYPES, Format
from api.bulk.uploads import ClientDisconnected, UploadRequest, Uploads
from api.bulk.wire import UploadJob
from api.cluster.status import ClusterStatus
from api.http.headers import RequestHeaders
from api.telemetry.metrics import ACCEPTED_OUTCOME, GatewayMetrics
from shared.card import ModelCard
from shared.errors import (
    InvalidParameter,
    MalformedUpload,
    RequestRefused,
    UnsupportedContentType,
    UnsupportedUploadCoding,
)
from shared.names import OnError, Output
from shared.store.bulk import BulkPrediction
from shared.store.records import Origin

_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii"})
_CODINGS: Final = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_FLAGS: Final = {"true": True, "false": False}
_REPEATABLE_PARAMETER: Final = "null"
_CSV_PARAMETERS: Final = ("delimiter", "header", "null")
_PARAMETERS: Final = ("on_error", "outputs", "carry", *_CSV_PARAMETERS)
_FORBIDDEN_DELIMITERS: Final = '"\r\n\0'
_OTHER_FORMAT: Final = "other"

Query = dict[str, list[str]]


class UploadOperation:
    """Handles `POST /predictions`."""

    def __init__(self, uploads: Uploads, cluster: ClusterStatus, metrics: GatewayMetrics) -> None:
        self._uploads = uploads
        self._cluster = cluster
        self._metrics = metrics

    async def __call__(self, request: Request) -> BulkPrediction:
        """Accept an upload.

        Raises:
            RequestRefused: the upload was refused, and nothing of it is kept.
        """
        began = time.monotonic()
        outcome, form = ACCEPTED_OUTCOME, _OTHER_FORMAT
        try:
            headers = RequestHeaders.read(request.scope["headers"])
            media_type = _parse_media_type(headers.media_type.decode("latin-1"))
            form = FORMATS_BY_MEDIA_TYPE[media_type]
            card = await self._cluster.current_card()
            job = _upload_job(
                media_type, _parse_content_coding(headers.content_coding), request.scope["query_string"], card
            )
            host = (request.scope.get("client") or ("",))[0]
            upload = UploadRequest(
                job,
                headers.owner(host),
                began,
                headers.deadline_seconds(began),
                headers.idempotency_digest(host),
                Origin(headers.request_id) if headers.request_id else None,
            )
            prediction = await self._uploads.accept(upload, _Body(request.receive))
        except ClientDisconnected as error:
            outcome = "broken-off"
            raise MalformedUpload("The body ended early.") from error
        except RequestRefused as error:
            outcome = error.code
            self._metrics.count_refused(error.code)
            raise
        except BaseException:
            outcome = "error"
            raise
        else:
            if headers.request_id:
                bind_contextvars(batch=prediction.id.batch_id)  # the whole id would give access to the result
            return prediction
        finally:
            self._metrics.count_upload(form, outcome, time.monotonic() - began)


class _Body:
    """The body of an upload, as parts from the ASGI server."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def parts(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)

    async def wait_until_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _parse_media_type(content_type: str) -> str:
    essence, *parameters = [part.strip().lower() for part in content_type.split(";")]
    if essence.endswith("+json"):
        essence = MEDIA_TYPES[Format.JSON]
    if essence not in FORMATS_BY_MEDIA_TYPE:
        raise UnsupportedContentType(
            f"Send the rows as one of {', '.join(FORMATS_BY_MEDIA_TYPE)}, named by `Content-Type`."
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _UTF8:
            raise UnsupportedContentType("Send the rows in UTF-8, which is the only supported `charset`.")
    return essence


def _parse_content_coding(content_coding: bytes) -> str:
    try:
        return _CODINGS[content_coding.decode("latin-1").strip().lower()]
    except KeyError:
        raise UnsupportedUploadCoding from None


def _upload_job(media_type: str, coding: str, query_string: bytes, card: ModelCard) -> UploadJob:
    """Return the job for the table process, with the parameters of the query string.

    Raises:
        InvalidParameter: a parameter is unknown, repeated or invalid.
    """
    query = _parse_query(query_string, is_csv=media_type == MEDIA_TYPES[Format.CSV])
    return UploadJob(
        b"",
        media_type,
        coding,
        "",
        _parse_on_error(query),
        _parse_outputs(query, card),
        _parse_names(query, "carry"),
        _parse_delimiter(query),
        _parse_header_flag(query),
        tuple(query.get(_REPEATABLE_PARAMETER, ())),
    )


def _parse_query(query_string: bytes, *, is_csv: bool) -> Query:
    query: Query = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        query.setdefault(name, []).append(value)
    for name, values in query.items():
        if name not in _PARAMETERS:
            raise InvalidParameter(f"`{name[:50]}` is unknown: the parameters are {', '.join(_PARAMETERS)}.")
        if name in _CSV_PARAMETERS and not is_csv:
            raise InvalidParameter(f"`{name}` is only for CSV, and this body is not CSV.")
        if len(values) > 1 and name != _REPEATABLE_PARAMETER:
            raise InvalidParameter(f"`{name}` must not be repeated.")
    return query


def _single_value(query: Query, name: str) -> str | None:
    return query[name][0] if name in query else None


def _parse_on_error(query: Query) -> OnError:
    value = _single_value(query, "on_error") or OnError.FAIL
    if value not in list(OnError):
        raise InvalidParameter(f"`on_error` must be one of {', '.join(OnError)}.")
    return OnError(value)


def _parse_outputs(query: Query, card: ModelCard) -> tuple[Output, ...]:
    names = _parse_names(query, "outputs")
    for name in names:
        if name not in card.outputs:
            has = ", ".join(card.outputs)
            raise InvalidParameter(f"`outputs`: {name[:50]!r} is not an output of this model, which has {has}.")
    outputs = tuple(map(Output, names))
    return () if outputs == card.default_outputs else outputs


def _parse_names(query: Query, parameter: str) -> tuple[str, ...]:
    value = _single_value(query, parameter)
    if value is None:
        return ()
    names = tuple(value.split(","))
    if "" in names or len(set(names)) < len(names):
        raise InvalidParameter(f"`{parameter}` must be different names, separated by commas.")
    return names


def _parse_delimiter(query: Query) -> str:
    value = _single_value(query, "delimiter")
    if value is None:
        return ","
    if len(value) != 1 or not value.isascii() or value in _FORBIDDEN_DELIMITERS:
        raise InvalidParameter("`delimiter` must be one ASCII character, but not a quote, a line break or NUL.")
    return value


def _parse_header_flag(query: Query) -> bool:
    value = _single_value(query, "header")
    if value is None:
        return True
    if value.lower() not in _FLAGS:
        raise InvalidParameter("`header` must be true or false.")
    return _FLAGS[value.lower()]
