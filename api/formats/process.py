"""A table process: sets its limits, runs one job, replies, and exits if the gateway closes the connection."""

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

_MAX_BLOCKED_SECONDS: Final = (
    60  # until SIGALRM if the interpreter is blocked: a library deadlocks when it is out of memory
)
_CHECK_INTERVAL_MS: Final = 5_000
_CLEANUP_SECONDS: Final = 5.0  # to delete an unfinished object after the gateway has closed the connection
_OVERTIME_SECONDS: Final = 10  # of CPU time, for the reply after the limit
_NO_MEMORY_DETAIL: Final = (
    "Reading the body takes more memory than a process may have: send smaller record batches, row groups or rows."
)
_NO_TIME_DETAIL: Final = "This takes more CPU time than a process may use: send or request fewer rows at a time."


class _TimeLimitReached(BodyTooLarge):
    """The process has reached its CPU time limit."""


def run_job(gateway_socket: socket.socket, settings: TableSettings) -> None:
    """Run the job of a connection; called in the forked process.

    Args:
        gateway_socket: the connection; if the gateway closes it early, the job ends and leaves no object.
        settings: the limits and the object store.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=_end_when_gateway_closes, args=[gateway_socket], daemon=True).start()
    connection = Connection(gateway_socket)
    try:
        job = connection.receive_job()
        connection.send_reply(JobStarted(os.getpid()))
        _set_limits(settings)
        _execute_and_reply(job, connection, settings)
        connection.finish()
    except (ConnectionError, KeyboardInterrupt):
        pass  # the gateway has closed the connection


def _end_when_gateway_closes(gateway_socket: socket.socket) -> None:
    """Interrupt the job when the gateway closes the connection, so that it deletes its object; then exit.

    If this thread does not run for a minute, the kernel ends the process by SIGALRM.
    """
    poll = select.poll()
    poll.register(gateway_socket, select.POLLRDHUP)
    signal.alarm(_MAX_BLOCKED_SECONDS)
    while not poll.poll(_CHECK_INTERVAL_MS):
        signal.alarm(_MAX_BLOCKED_SECONDS)
    main = threading.main_thread().ident
    assert main is not None, "it has started"
    signal.pthread_kill(main, signal.SIGINT)
    time.sleep(_CLEANUP_SECONDS)
    os._exit(1)


def _set_limits(settings: TableSettings) -> None:
    """Limit the memory, the CPU time, and the threads of pyarrow."""
    resource.setrlimit(resource.RLIMIT_DATA, (settings.process_bytes, settings.process_bytes))
    signal.signal(signal.SIGXCPU, _raise_time_limit)
    resource.setrlimit(resource.RLIMIT_CPU, (settings.cpu_seconds, settings.cpu_seconds + _OVERTIME_SECONDS))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _raise_time_limit(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # from now on, the kernel sends it every second
    raise _TimeLimitReached(_NO_TIME_DETAIL)


def _execute_and_reply(job: Job, connection: Connection, settings: TableSettings) -> None:
    """Run a job and reply; delete its object if it fails, or if the gateway has closed the connection."""
    store = ObjectStore.open(settings.object_store_url)
    try:
        reply = _execute_job(job, connection, store, settings)
        # The gateway may close the connection as soon as it has the reply: the object must not be deleted then.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        connection.send_reply(reply)
    except BaseException as error:
        if job.key:
            _delete_object(store, job.key)
        if isinstance(error, ConnectionError) or not isinstance(error, Exception):
            raise
        connection.send_reply(_error_reply(job, error))


def _delete_object(store: ObjectStore, key: str) -> None:
    try:
        store.delete([key])
    except ObjectStoreUnavailable:
        pass  # the sweeper deletes it


def _error_reply(job: Job, error: Exception) -> Reply:
    if isinstance(error, MemoryError) and isinstance(job, UploadJob):
        return JobRefused(BodyTooLarge.code, _NO_MEMORY_DETAIL)
    if isinstance(error, FileNotFoundError) and isinstance(job, ResultJob):
        return JobRefused(PredictionGone.code, PredictionGone.detail)
    if isinstance(error, RequestRefused):
        faults: Sequence[Fault] = getattr(error, "faults", ())
        return JobRefused(error.code, str(error), tuple(faults))
    return JobFailed("".join(traceback.format_exception(error)))


def _execute_job(
    job: Job, connection: Connection, store: ObjectStore, settings: TableSettings
) -> UploadFinished | ResultFinished:
    if isinstance(job, UploadJob):
        body = io.BufferedReader(Body(connection), 2**18)
        return read_upload(job, body, store, settings, lambda n_bytes: connection.send_reply(RowsStored(n_bytes)))
    if job.key:
        with store.open_writer(job.key) as writer:
            write_result(job, writer, store)
        return ResultFinished(writer.n_bytes)
    sink = GzipSink(Sink(connection)) if job.is_gzipped else Sink(connection)
    write_result(job, sink, store)
    sink.end()
    return ResultFinished(sink.n_bytes)
