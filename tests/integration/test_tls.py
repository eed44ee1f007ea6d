"""A broker that accepts only TLS: gateway, worker and Celery use the same URL."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.stack import Stack, wait_for

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]


class Terminator:
    """Terminates TLS in front of the broker, on a separate thread."""

    def __init__(self, folder: Path, target_port: int) -> None:
        self.certificate, self._key = make_certificate(folder)
        self.port = 0
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._is_stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])
        self._thread.start()
        wait_for(lambda: self.port, "the terminator")

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._is_stopping.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self._key)
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        await self._is_stopping.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        except OSError:
            pass  # closed by one of its ends
        finally:
            for each in (writer, inner_writer):
                each.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
def terminator(stack: Stack, tmp_path: Path) -> Iterator[Terminator]:
    stack.start_broker()
    terminator = Terminator(tmp_path, stack.redis_port)
    try:
        yield terminator
    finally:
        stack.stop()
        terminator.stop()


def test_gateway_and_worker_use_tls_with_a_rediss_url(stack: Stack, terminator: Terminator) -> None:
    url = f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={terminator.certificate}"
    stack.settings["redis_url"] = url
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    assert gateway.predict(TUTORIAL).json()["prediction"] == [0, 1]


def test_certificate_of_an_unknown_authority_is_refused(stack: Stack, terminator: Terminator) -> None:
    stack.settings["redis_url"] = f"rediss://localhost:{terminator.port}/0"
    worker = stack.start_worker()
    gateway = stack.start_gateway()
    wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in worker.log.read_text(), "the worker's refusal")
    wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in gateway.part.log.read_text(), "the gateway's")
    assert not gateway.is_ready()
