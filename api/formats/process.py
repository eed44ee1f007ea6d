"""A job's own process: its limits, its job, its replies, and its end when the gateway goes."""

import io
import os
import resource
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Final

import pyarrow as pa

from api.bulk.wire import (
    Job,
    JobFailed,
    JobRefused,
    JobStarted,
    Reply,
    ResultFinished,
    ResultJob,
    RowsStored,
    TableSettings,
    UploadFinished,
    UploadJob,
)
from api.formats.connection import Body, Connection, GzipSink, Sink
from api.formats.reading import read_upload
from api.formats.writing import write_result
from shared.errors import BodyTooLarge, Fault, ObjectStoreUnavailable, PredictionGone, RequestRefused
from shared.objects import ObjectStore

_STUCK_SECONDS: Final = 60  # without a turn of the interpreter: a library waits for itself, as out of memory
_CHECK_MS: Final = 5_000
_END_SECONDS: Final = 5.0  # for what is half written to be removed, after the gateway has gone
_OVERTIME_SECONDS: Final = 10  # of computing, to say that the time is up
_NO_MEMORY: Final = (
    "Reading the body takes more memory than a process may have: send smaller record batches, row groups or rows."
)
_NO_TIME: Final = "This takes longer than a process may compute: send, or ask for, fewer rows at a time."


class _TimeLimitReached(BodyTooLarge):
    """The process has used its time."""


def run_job(raw: socket.socket, settings: TableSettings) -> None:
    """Do the job of a connection, in a process of its own.

    Args:
        raw: the connection; if the gateway closes it, the job ends and nothing is left of it.
        settings: the limits, and the object store.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=_end_when_gateway_closes, args=[raw], daemon=True).start()
    connection = Connection(raw)
    try:
        job = connection.receive_job()
        connection.reply(JobStarted(os.getpid()))
        _set_limits(settings)
        _execute_and_reply(job, connection, settings)
        connection.finish()
    except (ConnectionError, KeyboardInterrupt):
        pass  # the gateway has gone


def _end_when_gateway_closes(raw: socket.socket) -> None:
    """End this process when the gateway has closed the connection: first the job, which removes what it has written.

    The kernel ends the process if this thread does not run any more.
    """
    poll = select.poll()
    poll.register(raw, select.POLLRDHUP)
    signal.alarm(_STUCK_SECONDS)
    while not poll.poll(_CHECK_MS):
        signal.alarm(_STUCK_SECONDS)
    main = threading.main_thread().ident
    assert main is not None, "it has started"
    signal.pthread_kill(main, signal.SIGINT)
    time.sleep(_END_SECONDS)
    os._exit(1)


def _set_limits(settings: TableSettings) -> None:
    """Limit memory and computing, and the threads of pyarrow."""
    resource.setrlimit(resource.RLIMIT_DATA, (settings.process_bytes, settings.process_bytes))
    signal.signal(signal.SIGXCPU, _raise_time_limit)
    resource.setrlimit(resource.RLIMIT_CPU, (settings.cpu_seconds, settings.cpu_seconds + _OVERTIME_SECONDS))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _raise_time_limit(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # it comes every second from now on
    raise _TimeLimitReached(_NO_TIME)


def _execute_and_reply(job: Job, connection: Connection, settings: TableSettings) -> None:
    """Do a job and reply; an object that it was to write is deleted if it fails, or if the gateway has gone."""
    store = ObjectStore.open(settings.object_store_url)
    try:
        reply = _execute(job, connection, store, settings)
        # The gateway may close the connection as soon as it has the reply, and the object must stay then.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        connection.reply(reply)
    except BaseException as error:
        if job.key:
            _delete_object(store, job.key)
        if isinstance(error, ConnectionError) or not isinstance(error, Exception):
            raise
        connection.reply(_error_reply(job, error))


def _delete_object(store: ObjectStore, key: str) -> None:
    try:
        store.delete([key])
    except ObjectStoreUnavailable:
        pass  # it is swept


def _error_reply(job: Job, error: Exception) -> Reply:
    if isinstance(error, MemoryError) and isinstance(job, UploadJob):
        return JobRefused(BodyTooLarge.code, _NO_MEMORY)
    if isinstance(error, FileNotFoundError) and isinstance(job, ResultJob):
        return JobRefused(PredictionGone.code, PredictionGone.detail)
    if isinstance(error, RequestRefused):
        faults: Sequence[Fault] = getattr(error, "faults", ())
        return JobRefused(error.code, str(error), tuple(faults))
    return JobFailed("".join(traceback.format_exception(error)))


def _execute(
    job: Job, connection: Connection, store: ObjectStore, settings: TableSettings
) -> UploadFinished | ResultFinished:
    if isinstance(job, UploadJob):
        body = io.BufferedReader(Body(connection), 2**18)
        return read_upload(job, body, store, settings, lambda n_bytes: connection.reply(RowsStored(n_bytes)))
    if job.key:
        with store.writer(job.key) as writer:
            write_result(job, writer, store)
        return ResultFinished(writer.n_bytes)
    sink = GzipSink(Sink(connection)) if job.is_gzipped else Sink(connection)
    write_result(job, sink, store)
    sink.end()
    return ResultFinished(sink.n_bytes)
