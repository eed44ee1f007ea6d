"""Serves a worker's metrics and probes over HTTP, in a separate thread."""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from shared.telemetry.exposition import Exposition

log = structlog.get_logger(__name__)

_TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"


class _ProbeServer(ThreadingMixIn, WSGIServer):
    """Serves each request in a thread: a slow scrape does not delay a probe."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log the error in the format of all other log lines."""
        log.warning("could not respond to a request for metrics or a probe", reason=repr(sys.exception()))


class _ProbeHandler(WSGIRequestHandler):
    timeout = 10  # seconds that a connection may be idle

    def log_message(self, *_: object) -> None:
        """Log nothing, because probes arrive every few seconds."""


def serve_probes(host: str, port: int, exposition: Exposition, is_ready: Callable[[], bool]) -> None:
    """Serve `/metrics`, `/livez` and `/readyz` until the process ends; pool processes do not serve them.

    Args:
        host: the address to listen on.
        port: the port to listen on.
        exposition: the worker's metrics.
        is_ready: whether the store has a valid announcement of a loaded pool process.

    Raises:
        OSError: the port is taken.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        status, media_type, body = HTTPStatus.OK, _TEXT_CONTENT_TYPE, b"ready\n"
        match environ["PATH_INFO"]:
            case "/metrics":
                body, media_type = exposition.render(environ.get("HTTP_ACCEPT", ""))
            case "/livez":
                body = b"live\n"
            case "/readyz":
                if not is_ready():
                    status, body = HTTPStatus.SERVICE_UNAVAILABLE, b"no loaded pool process is announced\n"
            case _:
                status, body = HTTPStatus.NOT_FOUND, b"/metrics, /livez, /readyz\n"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", media_type)])
        return [body]

    server = make_server(host, port, application, _ProbeServer, _ProbeHandler)
    os.register_at_fork(after_in_child=server.socket.close)  # otherwise pool processes keep the port of a dead worker
    threading.Thread(target=server.serve_forever, daemon=True).start()
