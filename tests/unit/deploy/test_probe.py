"""The probe of the containers' health checks."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.stack import ROOT, free_port, wait_for


class _Handler(BaseHTTPRequestHandler):
    """Responds with the status in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()
        self.wfile.write(b"because")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def _probe(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "probe.py"), url]

    def answered() -> subprocess.CompletedProcess[str] | None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done if "timed out" not in done.stderr else None  # its time does not depend on the tests' patience

    return wait_for(answered, "a probe in time")


def test_status_200_is_healthy(server: str) -> None:
    assert _probe(f"{server}/200").returncode == 0


@pytest.mark.parametrize("status", [204, 404, 503])
def test_other_status_is_unhealthy_and_printed(server: str, status: int) -> None:
    done = _probe(f"{server}/{status}")
    assert done.returncode == 1
    assert f" {status} " in done.stderr
    assert "because" in done.stderr


def test_refused_connection_is_unhealthy() -> None:
    done = _probe(f"http://127.0.0.1:{free_port()}/readyz")
    assert done.returncode == 1
    assert "refused" in done.stderr
