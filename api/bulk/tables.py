"""The table server of a gateway process, which forks a process for each upload and download (`api.bulk.wire`).

It is started for the first job, and restarted after it has died; the processes that it forked outlive it.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from api.bulk.frames import FrameConnection, JobLost
from api.bulk.wire import DATA, JOB, LISTENING, MAX_FRAME_BYTES, Job, JobStarted, Reply, TableSettings
from shared.objects import absolute_url

_ROOT: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 60.0  # pyarrow's import takes a second on an idle machine
_REPLY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 1.0
_END_SECONDS: Final = 6.0  # for a process to delete its unfinished object; its own limit is 5
_MAX_ATTEMPTS: Final = 2
_FORMATS_MODULE: Final = "api.formats"

log = structlog.get_logger(__name__)


class TableJob:
    """A job in a table process, as the gateway sees it."""

    def __init__(self, connection: FrameConnection) -> None:
        self._connection = connection
        self._pid: int | None = None

    @property
    def n_received(self) -> int:
        """Number of frames received from the process."""
        return self._connection.n_received

    async def send(self, part: bytes) -> None:
        """Send a part of the body, as `FrameConnection.send`.

        Raises:
            JobLost: the connection is closed; a reply that has arrived can still be received.
        """
        view = memoryview(part)
        for start in range(0, len(view), MAX_FRAME_BYTES):
            await self._connection.send(DATA, view[start : start + MAX_FRAME_BYTES])

    async def end_body(self) -> None:
        """Send the end of the body.

        Raises:
            JobLost: as `send`.
        """
        await self._connection.send(DATA, b"")

    async def receive(self) -> Reply | bytearray:
        """Receive a reply, or a part of a result; the last part is empty.

        Raises:
            JobLost: the process has ended.
        """
        kind, content = await self._connection.receive()
        return content if kind == DATA else msgspec.msgpack.decode(content, type=Reply)

    async def start(self, job: Job) -> None:
        """Send the job, and wait until the process has started it.

        Raises:
            JobLost: the process has ended, or did not reply in time.
        """
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                await self._connection.send(JOB, msgspec.msgpack.encode(job))
                started = await self.receive()
        except TimeoutError as error:
            raise JobLost from error
        assert isinstance(started, JobStarted), "the first reply"
        self._pid = started.pid

    async def close(self) -> None:
        """End the process, which deletes an unfinished object; kill it if it has not ended in time."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._connection.finish()
        except TimeoutError:
            await self._kill()
        finally:
            self._connection.close()

    async def _kill(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._connection.finish()


class TableServer:
    """Starts the process of `python -m api.formats`, and jobs in the processes that it forks."""

    def __init__(self, settings: TableSettings) -> None:
        """Start no process yet.

        Args:
            settings: the settings of each table process.
        """
        url = absolute_url(settings.object_store_url)  # the server has another working directory
        self._settings = msgspec.json.encode(msgspec.structs.replace(settings, object_store_url=url)).decode()
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._folder: Path | None = None
        self._n_started = 0

    @property
    def pid(self) -> int | None:
        """The server's process id; None if it does not run."""
        return None if self._process is None else self._process.pid

    @asynccontextmanager
    async def start_job(self, job: Job) -> AsyncIterator[TableJob]:
        """Start a job in a process; the end of the block ends the process, also before the job is done.

        Raises:
            JobLost: the process could not be started.
        """
        started = TableJob(await self._connect())
        try:
            await started.start(job)
            yield started
        finally:
            await asyncio.shield(started.close())

    async def close(self) -> None:
        """Stop the server."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        await self._kill_server()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _connect(self) -> FrameConnection:
        for _ in range(_MAX_ATTEMPTS):
            path = await self._ensure_running()
            try:
                return await FrameConnection.open(path)
            except OSError as error:
                log.warning("lost the connection to the table server", reason=repr(error))
                async with self._starting:
                    if path == self._socket_path():  # no other task has restarted the server
                        await self._kill_server()
        raise JobLost

    async def _ensure_running(self) -> str:
        """Start the server if it does not run; return the path of its socket."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                await self._start()
            return self._socket_path()

    async def _start(self) -> None:
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="sepal-"))  # with access for this user only
        self._n_started += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _FORMATS_MODULE,
            self._socket_path(),
            self._settings,
            stdin=PIPE,
            stdout=PIPE,
            cwd=_ROOT,
            start_new_session=True,  # Ctrl-C must not reach the server: the gateway stops it
        )
        assert self._process.stdout is not None, "a pipe"
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await self._process.stdout.readline()
        except BaseException:
            await self._kill_server()
            raise
        if line != LISTENING:
            await self._kill_server()
            raise JobLost

    async def _kill_server(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _socket_path(self) -> str:
        assert self._folder is not None, "made before the first start"
        return str(self._folder / f"{self._n_started}.sock")
