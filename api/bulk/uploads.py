"""Accepts bulk predictions: streams each upload to a table process, and records it once its rows are stored.

    body ──▶ process of `api.formats` ──▶ object store          `RowsStored`: more space is reserved
                     └── `UploadFinished` ──▶ space for the results ──▶ record in the store ──▶ id

An upload that fails leaves nothing behind: no objects, no reserved space, no idempotency key.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NoReturn, Protocol

import msgspec
import structlog

from api.bulk.concurrency import run_until_first_ends
from api.bulk.frames import JobLost
from api.bulk.marker import Marker
from api.bulk.refusals import error_from_refusal
from api.bulk.space import UploadSpace, estimated_result_bytes
from api.bulk.tables import TableJob, TableServer
from api.bulk.wire import JobFailed, JobRefused, RowsStored, UploadFinished, UploadJob
from api.cluster.status import ClusterStatus
from api.predictions.admission import Admission
from api.telemetry.metrics import GatewayMetrics
from shared.bulk import new_rows_key, objects_prefix
from shared.card import ModelCard
from shared.errors import (
    BodyNotRead,
    BodyTooLarge,
    BrokerUnavailable,
    IdempotencyKeyReused,
    RequestRefused,
    TooManyBodies,
)
from shared.ids import STORED, BatchId, PredictionId, new_batch_id
from shared.names import Queue, State
from shared.objects import ObjectStore
from shared.store.bulk import BulkPrediction, BulkStore, NewBulkPrediction
from shared.store.clock import StoreClock
from shared.store.idempotency import IdempotencyKey, IdempotencyKeys
from shared.store.records import Origin

_RENEWAL_INTERVAL_SECONDS: Final = 3.0
_MAX_ACCEPT_SECONDS: Final = 1.8  # as for a submission: after that the response is `broker-unavailable`
_MAX_SILENCE_SECONDS: Final = 120.0  # without progress of the process: the upload is then refused
_MAX_WAIT_FOR_TURN_SECONDS: Final = 30.0
_MAX_WAITING_UPLOADS: Final = 64  # uploads that may wait for a free process
_STOPPING_DETAIL: Final = "The gateway is stopping, and nothing was accepted: retry."

log = structlog.get_logger(__name__)


class ClientDisconnected(Exception):
    """The client disconnected before the response; nothing was accepted."""


class Body(Protocol):
    """The body of an upload, while it arrives."""

    def parts(self) -> AsyncIterator[bytes]:
        """Yield the parts of the body.

        Raises:
            ClientDisconnected: the client has disconnected.
        """

    async def wait_until_disconnected(self) -> None:
        """Return once the client has disconnected; called after the last part."""


class UploadRequest(msgspec.Struct, frozen=True):
    """An upload request without its body."""

    job: UploadJob
    """The job, without a model card and an object key yet."""
    owner: bytes
    began: float
    """When the request arrived, by the monotonic clock."""
    deadline_seconds: float | None = None
    """Counted from `began`."""
    key_digest: str | None = None
    """The digest of its idempotency key."""
    origin: Origin | None = None


class Uploads:
    """Accepts the uploads of one gateway process."""

    def __init__(
        self,
        table_server: TableServer,
        object_store: ObjectStore,
        store: BulkStore,
        marker: Marker,
        idempotency_keys: IdempotencyKeys,
        admission: Admission,
        clock: StoreClock,
        cluster: ClusterStatus,
        metrics: GatewayMetrics,
        reply_channel: str,
        *,
        max_uploads: int,
        max_bytes: int,
    ) -> None:
        self._table_server = table_server
        self._object_store = object_store
        self._store = store
        self._marker = marker
        self._is_marked = False
        self._keys = idempotency_keys
        self._admission = admission
        self._clock = clock
        self._cluster = cluster
        self._metrics = metrics
        self._reply_channel = reply_channel
        self._turns = asyncio.Semaphore(max_uploads)
        self._n_waiting = 0
        self._max_bytes = max_bytes
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Refuse the current uploads and all later ones, because the gateway is stopping."""
        self._draining.set()

    async def accept(self, request: UploadRequest, body: Body) -> BulkPrediction:
        """Store the rows of an upload, and record the prediction.

        Returns:
            The new prediction, or the earlier one with the same idempotency key.

        Raises:
            RequestRefused, ClientDisconnected: nothing was accepted.
        """
        if self._draining.is_set():
            raise BodyNotRead(_STOPPING_DETAIL)
        async with self._wait_for_turn():
            if request.key_digest is None:
                return await self._accept_new_upload(new_batch_id(), request, body)
            return await self._accept_upload_with_key(request.key_digest, request, body)

    @asynccontextmanager
    async def _wait_for_turn(self) -> AsyncIterator[None]:
        if self._turns.locked() and self._n_waiting >= _MAX_WAITING_UPLOADS:
            raise TooManyBodies
        self._n_waiting += 1
        try:
            async with asyncio.timeout(_MAX_WAIT_FOR_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise TooManyBodies from error
        finally:
            self._n_waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def _accept_upload_with_key(self, key_digest: str, request: UploadRequest, body: Body) -> BulkPrediction:
        upload = new_batch_id()
        earlier = await self._keys.reserve_upload(key_digest, upload)
        if earlier is not None:
            sent = await run_until_first_ends(self._hash_body(body), self._wait_for_drain())
            if _upload_fingerprint(request.job, sent) != earlier.fingerprint:
                raise IdempotencyKeyReused
            return await self._store.read(earlier.id)
        try:
            return await self._accept_new_upload(upload, request, body)
        except BaseException:
            with suppress(BrokerUnavailable):
                await self._keys.release_upload(key_digest, upload)
            raise

    async def _hash_body(self, body: Body) -> str:
        digest = hashlib.sha256()
        async for part in body.parts():
            digest.update(part)
        return digest.hexdigest()

    async def _accept_new_upload(self, upload_id: BatchId, request: UploadRequest, body: Body) -> BulkPrediction:
        card = await self._cluster.current_card()
        model = self._cluster.model.ref_json
        self._deadline_us(request)  # refuses a deadline that the backlog makes unreachable
        space = UploadSpace(self._store, upload_id)
        await self._ensure_marker_exists()
        try:
            await space.reserve_ahead(0)
            read = await self._read_upload(upload_id, card, request, body, space)
            source = read.source
            await space.reserve(source.n_bytes + estimated_result_bytes(card, source.outputs, source.n_rows))
            if request.key_digest is not None:
                await self._keys.renew_upload(request.key_digest, upload_id)
            deadline_us = self._deadline_us(request)
        except BaseException:
            await asyncio.shield(self._undo_upload(upload_id))
            raise
        prediction_id = PredictionId.new(upload_id, STORED)
        latest_us, idempotency = self._clock.now_plus(_MAX_ACCEPT_SECONDS), {}
        if request.key_digest is not None:
            key = IdempotencyKey(request.key_digest, _upload_fingerprint(request.job, read.fingerprint))
            idempotency[key.stored_name] = key.stored_value(prediction_id)
        new = NewBulkPrediction(
            prediction_id,
            source,
            model,
            self._reply_channel,
            request.owner,
            deadline_us,
            idempotency,
            latest_us,
            request.origin,
            space.n_bytes,
        )
        try:
            await self._store.accept(new)
        except BrokerUnavailable:
            if request.key_digest is None:  # with a key, a retry finds the prediction if it was recorded
                await asyncio.shield(self._abandon_upload(upload_id))
            raise
        self._metrics.count_accepted(Queue.BULK, 1, source.n_rows)
        return BulkPrediction(prediction_id, State.QUEUED, source, model, 0, 0, created_us=0, now_us=0, event=0)

    async def _ensure_marker_exists(self) -> None:
        """Write the marker before any rows: a Redis that has lost its data must find the old marker there."""
        if not self._is_marked:
            await self._marker.has_equal_copies()
            self._is_marked = True

    def _deadline_us(self, request: UploadRequest) -> int:
        if request.deadline_seconds is None:
            return 0
        left = request.deadline_seconds - (time.monotonic() - request.began)
        return self._admission.deadline_us(max(left, 0.0), Queue.BULK)

    async def _read_upload(
        self, upload_id: BatchId, card: ModelCard, request: UploadRequest, body: Body, space: UploadSpace
    ) -> UploadFinished:
        job = msgspec.structs.replace(
            request.job,
            card=card.model_dump_json().encode(),
            key=new_rows_key(upload_id),
            is_fingerprinted=request.key_digest is not None,
        )
        try:
            async with self._table_server.start_job(job) as process:
                return await run_until_first_ends(
                    self._handle_replies(process, space),
                    self._send_body(process, body),
                    self._renew_reservations(upload_id, request, space),
                    self._wait_for_drain(),
                )
        except JobLost as error:
            log.warning("lost the connection to the process that reads an upload", batch=upload_id)
            raise BodyNotRead from error

    async def _handle_replies(self, process: TableJob, space: UploadSpace) -> UploadFinished:
        while True:
            match await process.receive():
                case RowsStored(n_bytes):
                    await space.reserve_ahead(n_bytes)
                case UploadFinished() as read:
                    return read
                case JobRefused() as refused:
                    raise error_from_refusal(refused)
                case JobFailed(traceback):
                    raise RuntimeError(f"the process that read an upload failed:\n{traceback}")

    async def _send_body(self, process: TableJob, body: Body) -> NoReturn:
        """Send the body; then raise once the process is silent or the client has disconnected."""
        n_bytes = 0
        try:
            async for part in body.parts():
                n_bytes += len(part)
                self._metrics.count_upload_bytes(len(part))
                if n_bytes > self._max_bytes:
                    raise BodyTooLarge
                async with asyncio.timeout(_MAX_SILENCE_SECONDS):
                    await process.send(part)
            await process.end_body()
        except JobLost:
            await asyncio.sleep(_MAX_SILENCE_SECONDS)  # `_handle_replies` raises the reason from its last reply
        except TimeoutError as error:
            raise JobLost from error
        await run_until_first_ends(_raise_when_silent(process), _raise_when_disconnected(body))

    async def _renew_reservations(self, upload_id: BatchId, request: UploadRequest, space: UploadSpace) -> NoReturn:
        while True:
            await asyncio.sleep(_RENEWAL_INTERVAL_SECONDS)
            await space.renew()
            if request.key_digest is not None:
                with suppress(BrokerUnavailable):
                    await self._keys.renew_upload(request.key_digest, upload_id)

    async def _wait_for_drain(self) -> NoReturn:
        await self._draining.wait()
        raise BodyNotRead(_STOPPING_DETAIL)

    async def _abandon_upload(self, upload_id: BatchId) -> None:
        """Undo an upload that the store may have recorded (its reply was lost); if this fails, the sweeper does it."""
        try:
            await self._store.abandon_upload(upload_id)
        except BrokerUnavailable:
            return
        await self._undo_upload(upload_id)

    async def _undo_upload(self, upload_id: BatchId) -> None:
        """Delete the objects and release the space of an upload; the sweeper does it if this fails."""
        try:
            await asyncio.to_thread(self._object_store.delete_all, objects_prefix(upload_id))
            await self._store.abandon_upload(upload_id)
        except RequestRefused as error:
            log.warning(
                "cannot delete the objects of a refused upload; the sweeper will delete them",
                batch=upload_id,
                reason=error.code,
            )


async def _raise_when_silent(process: TableJob) -> NoReturn:
    """Raise `JobLost` once a process has sent no frame for two minutes."""
    n_received = -1
    while n_received != process.n_received:
        n_received = process.n_received
        await asyncio.sleep(_MAX_SILENCE_SECONDS)
    raise JobLost


async def _raise_when_disconnected(body: Body) -> NoReturn:
    await body.wait_until_disconnected()
    raise ClientDisconnected


def _upload_fingerprint(job: UploadJob, body_sha256: str) -> str:
    """Return the fingerprint of an upload: a hash of its job and of the SHA-256 of its body."""
    return hashlib.sha256(msgspec.json.encode(job) + body_sha256.encode()).hexdigest()
