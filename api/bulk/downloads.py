"""Serves the results of bulk predictions: rows in a format, streamed in order, or byte ranges of a file.

results of slices in the object store ──▶ process of `api.formats` ──▶ client
                                                  └──▶ object, written once ──▶ byte ranges
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, NoReturn

import msgspec
import structlog

from api.bulk.formats import WRITER_VERSION, Format
from api.bulk.frames import JobLost
from api.bulk.refusals import error_from_refusal
from api.bulk.tables import TableJob, TableServer
from api.bulk.wire import JobFailed, JobRefused, ResultFinished, ResultJob
from api.telemetry.metrics import GatewayMetrics
from shared.bulk import SliceResult, objects_prefix
from shared.errors import BrokerUnavailable, PredictionGone, PredictionNotFound, ResultNotWritten, SepalError
from shared.ids import PredictionId
from shared.objects import ObjectStore
from shared.store.bulk import BulkPrediction, BulkStore

_EXTENSION_INTERVAL_SECONDS: Final = 20.0  # `BulkStore.extend_retention` keeps a record for a minute
_MAX_WAIT_FOR_TURN_SECONDS: Final = 30.0
_MAX_SILENCE_SECONDS: Final = 120.0  # without a frame from the process: the job is then abandoned
_PART_BYTES: Final = 2**20

Part = bytes | bytearray

log = structlog.get_logger(__name__)


class DownloadBroken(Exception):
    """The rest of a result cannot be sent; the connection must be aborted, or the response would look complete."""


class Window(msgspec.Struct, frozen=True):
    """The range of rows that a client requests."""

    offset: int = 0
    limit: int | None = None
    is_partial: bool = False
    """Whether the client accepts the rows that are done before the prediction is final."""

    @property
    def has_all_rows(self) -> bool:
        """Whether the window includes every row."""
        return self.offset == 0 and self.limit is None

    def n_rows(self, n_available_rows: int) -> int:
        """Return how many of the first `n_available_rows` rows are in the window."""
        left = max(n_available_rows - self.offset, 0)
        return left if self.limit is None else min(left, self.limit)


class ResultObject(msgspec.Struct, frozen=True):
    """The object of a result in one format."""

    key: str
    n_bytes: int


class Downloads:
    """Runs the downloads of one gateway process."""

    def __init__(
        self,
        table_server: TableServer,
        object_store: ObjectStore,
        store: BulkStore,
        metrics: GatewayMetrics,
        max_downloads: int,
    ) -> None:
        self._table_server = table_server
        self._object_store = object_store
        self._store = store
        self._metrics = metrics
        self._turns = asyncio.Semaphore(max_downloads)
        self._writing: dict[str, asyncio.Lock] = {}

    async def make_job(
        self,
        prediction: BulkPrediction,
        window: Window,
        result_format: Format,
        status_members: bytes = b"",
        *,
        is_gzipped: bool = False,
    ) -> ResultJob:
        """Build the job that writes rows of a result.

        Args:
            prediction: the prediction.
            window: the rows of its result to write.
            result_format: the format.
            status_members: for JSON, as in `ResultJob`.
            is_gzipped: whether to compress the rows.

        Raises:
            PredictionNotFound, PredictionGone, RecordIncompatible, BrokerUnavailable: as `BulkStore.read_results`.
        """
        results = results_before_first_gap(await self._store.read_results(prediction.id))
        n_available = results[-1].first_row + results[-1].n_rows if results else 0
        first, n_rows = min(window.offset, n_available), window.n_rows(n_available)
        # At least one slice, because the columns of the result are read from it.
        wanted = [each for each in results if each.first_row < first + n_rows and first < each.first_row + each.n_rows]
        written = tuple(wanted or results[:1])
        return ResultJob(
            result_format.value, prediction.source, written, first, n_rows, status_members, is_gzipped=is_gzipped
        )

    @asynccontextmanager
    async def stream(self, prediction_id: PredictionId, job: ResultJob) -> AsyncIterator[AsyncIterator[Part]]:
        """Run a job, wait for the first part of the result, and yield an iterator over all parts.

        Raises:
            SepalError: no part could be written.
            DownloadBroken: raised by the iterator: the rest cannot be written.
        """
        async with self._wait_for_turn(), self._keep_from_expiring(prediction_id):
            try:
                async with self._table_server.start_job(job) as process:
                    first = await _receive_part(process, None if job.key else _MAX_SILENCE_SECONDS)
                    async with aclosing(self._yield_parts(first, process, job.format)) as parts:
                        yield parts
            except JobLost as error:
                raise ResultNotWritten from error

    @asynccontextmanager
    async def _wait_for_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_MAX_WAIT_FOR_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise ResultNotWritten(
                "The gateway is already writing as many results as it may at a time: retry."
            ) from error
        try:
            yield
        finally:
            self._turns.release()

    async def _yield_parts(self, first_part: Part, process: TableJob, format_name: str) -> AsyncGenerator[Part]:
        outcome, part = "left", first_part
        try:
            while part:
                self._metrics.count_download_bytes(len(part))
                yield part
                part = await _receive_part(process, _MAX_SILENCE_SECONDS)
            outcome = "complete"
        except (JobLost, SepalError) as error:
            outcome = "broken"
            raise DownloadBroken from error
        finally:
            self._metrics.count_download(format_name, outcome)

    async def get_or_write_object(self, prediction: BulkPrediction, result_format: Format, etag: str) -> ResultObject:
        """Return the object of a whole result in a format; write it if there is none yet.

        Args:
            prediction: the prediction, which is final.
            result_format: the format.
            etag: the entity tag of the result in this format.

        Raises:
            SepalError: the result cannot be written.
        """
        lock = self._writing.setdefault(etag, asyncio.Lock())
        try:
            async with lock:  # concurrent requests for other ranges wait until the object is written
                prefix = f"{objects_prefix(prediction.id.batch_id)}rendered/"
                found = await asyncio.to_thread(self._find_object, prefix, etag)
                return found or await self._write_object(
                    prediction, result_format, f"{prefix}{etag}-{secrets.token_hex(4)}"
                )
        finally:
            if not lock.locked():
                self._writing.pop(etag, None)

    @asynccontextmanager
    async def read_range(
        self, prediction_id: PredictionId, result_object: ResultObject, start: int, n_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read the first part of a byte range of an object, and yield an iterator over all parts.

        Raises:
            PredictionGone: the object was deleted.
            ObjectStoreUnavailable: the first part cannot be read.
            DownloadBroken: raised by the iterator: the rest cannot be read.
        """
        async with self._keep_from_expiring(prediction_id):
            try:
                first = await self._read_part(result_object.key, start, min(n_bytes, _PART_BYTES))
            except FileNotFoundError as error:
                raise PredictionGone from error
            yield self._yield_range(first, result_object.key, start + len(first), start + n_bytes)

    def make_etag(self, prediction: BulkPrediction, window: Window, result_format: Format) -> str:
        """Return the entity tag of a window of a final result in a format."""
        named = f"{prediction.id} {window.offset} {window.limit} {result_format.value} {WRITER_VERSION}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    async def _write_object(self, prediction: BulkPrediction, result_format: Format, key: str) -> ResultObject:
        job = msgspec.structs.replace(await self.make_job(prediction, Window(), result_format), key=key)
        async with self.stream(prediction.id, job) as parts:
            async for _ in parts:
                pass
        return ResultObject(key, await asyncio.to_thread(self._object_store.size, key))

    def _find_object(self, prefix: str, etag: str) -> ResultObject | None:
        for stored in self._object_store.list(prefix):
            name = stored.key.removeprefix(prefix)
            if name.startswith(etag) and "#" not in name:  # `#`: the unfinished file of a killed writer
                return ResultObject(stored.key, stored.n_bytes)
        return None

    async def _yield_range(self, first_part: bytes, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        yield first_part
        while start < end:
            try:
                part = await self._read_part(key, start, min(end - start, _PART_BYTES))
            except (FileNotFoundError, SepalError) as error:
                raise DownloadBroken from error
            start += len(part)
            yield part

    async def _read_part(self, key: str, start: int, n_bytes: int) -> bytes:
        return bytes(await asyncio.to_thread(self._object_store.read, key, start, n_bytes)) if n_bytes else b""

    @asynccontextmanager
    async def _keep_from_expiring(self, prediction_id: PredictionId) -> AsyncIterator[None]:
        """Extend the retention of a prediction repeatedly while its result is being sent."""
        await self._store.extend_retention(prediction_id)
        task = asyncio.create_task(self._extend_retention_repeatedly(prediction_id))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _extend_retention_repeatedly(self, prediction_id: PredictionId) -> NoReturn:
        while True:
            await asyncio.sleep(_EXTENSION_INTERVAL_SECONDS)
            with suppress(BrokerUnavailable, PredictionGone, PredictionNotFound):
                await self._store.extend_retention(prediction_id)


def results_before_first_gap(results: list[SliceResult]) -> list[SliceResult]:
    """Return the results of the first rows, up to the first gap."""
    n_rows = 0
    for index, result in enumerate(results):
        if result.first_row != n_rows:
            return results[:index]
        n_rows += result.n_rows
    return results


async def _receive_part(process: TableJob, timeout_seconds: float | None) -> Part:
    """Return the next part of a result; empty at the end.

    Args:
        process: the connection to the process.
        timeout_seconds: the timeout; None for none.

    Raises:
        JobLost: the process has ended, or the timeout has passed.
        SepalError: the process has refused the job.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            received = await process.receive()
    except TimeoutError as error:
        raise JobLost from error
    match received:
        case bytearray() as part:
            return part
        case ResultFinished():
            return b""
        case JobRefused() as refused:
            raise error_from_refusal(refused)
        case JobFailed(traceback):
            raise RuntimeError(f"the process that writes a result failed:\n{traceback}")
        case _:
            raise JobLost
