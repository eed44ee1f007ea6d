"""A broker that speaks nothing but TLS: gateway, worker and what Celery makes of the same URL."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, free_port, wait_for

# The terminator is cut off in the middle of whatever its connections are doing.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]


class Terminator:
    """Takes TLS connections, and passes on what is inside them."""

    def __init__(self, folder: Path, target_port: int) -> None:
        self.port = free_port()
        self.certificate = folder / "certificate.pem"
        self._key = folder / "key.pem"
        self._target_port = target_port
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()

    async def _serve(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self._key)
        await asyncio.start_server(self._pass_on, "127.0.0.1", self.port, ssl=context)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer), return_exceptions=True)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
def terminator(stack: Stack, tmp_path: Path) -> Iterator[Terminator]:
    stack.start_broker()
    terminator = Terminator(tmp_path, stack.redis_port)
    yield terminator
    stack.stop()
    terminator.stop()


def test_plain_tls_address_has_everybody_speak_tls(stack: Stack, terminator: Terminator) -> None:
    address = f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={terminator.certificate}"
    stack.settings["redis_url"] = address
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
