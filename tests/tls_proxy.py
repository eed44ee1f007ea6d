"""Runs nginx with deploy/nginx/nginx.conf in front of a gateway on this machine.

python -m tests.tls_proxy 8000    in front of the gateway on port 8000, which trusts 127.0.0.1
"""

import contextlib
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx

from tests.certificates import Certificate, make_certificate
from tests.patience import patience
from tests.stack import ROOT, Part, clean_environment, free_port, listens, wait_for
from tests.tools import tool

CONFIGURATION = ROOT / "deploy" / "nginx" / "nginx.conf"
ADDRESS = "127.0.0.1"
"""The address of the proxy, for `SEPAL_TRUSTED_PROXIES`."""


class TlsProxy:
    """A running nginx, and clients that trust its certificate."""

    def __init__(self, part: Part, port: int, health_port: int, certificate: Certificate) -> None:
        self.part = part
        self.port = port
        self.health_port = health_port
        self._context = ssl.create_default_context(cafile=certificate.chain)

    def client(self, address: str = ADDRESS) -> httpx.Client:
        """Make a client whose connections come from an address of the loopback network."""
        transport = httpx.HTTPTransport(verify=self._context, local_address=address)
        return httpx.Client(base_url=f"https://localhost:{self.port}", transport=transport, timeout=patience())

    def connect(self) -> ssl.SSLSocket:
        """Open a TLS connection, for requests that no HTTP client would send."""
        plain = socket.create_connection((ADDRESS, self.port), patience())
        return self._context.wrap_socket(plain, server_hostname="localhost")

    def exchange(self, request: bytes) -> tuple[HTTPResponse, bytes]:
        """Send bytes on a new connection; return the response and its body."""
        with self.connect() as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            return response, response.read()


@contextlib.contextmanager
def running_proxy(folder: Path, gateway_port: int, replaced: dict[str, str] | None = None) -> Iterator[TlsProxy]:
    """Start nginx in front of the port of a gateway, which must trust `ADDRESS`, and wait until it listens.

    Args:
        folder: for the configuration, the certificate and the log.
        gateway_port: the port of the gateway.
        replaced: texts of the configuration and what takes their place.
    """
    port, health_port = free_port(), free_port()
    certificate = make_certificate(folder / "tls")
    texts = {
        " /tmp/": f" {folder}/",  # the first, because the folder may be below it
        "/etc/nginx/tls/": f"{certificate.chain.parent}/",
        "server gateway:8000": f"server {ADDRESS}:{gateway_port}",
        "listen 8443": f"listen {ADDRESS}:{port}",
        "listen 8080": f"listen {ADDRESS}:{health_port}",
        **(replaced or {}),
    }
    configuration = CONFIGURATION.read_text()
    for text, other in texts.items():
        assert text in configuration, f"{CONFIGURATION} has no {text!r}"
        configuration = configuration.replace(text, other)
    path = folder / "nginx.conf"
    path.write_text(configuration)
    command = [tool("nginx", "/usr/sbin/nginx"), "-c", str(path), "-e", "stderr"]
    if os.geteuid() == 0:  # otherwise nginx would change to a user that cannot write here
        command += ["-g", "user root;"]
    part = Part("nginx", command, clean_environment(), folder)
    try:
        wait_for(lambda: listens(port) or part.popen.poll() is not None, "nginx")
        assert part.popen.poll() is None, part.log.read_text()
        yield TlsProxy(part, port, health_port, certificate)
    finally:
        part.stop()


def main() -> None:
    """Run nginx in front of a gateway until Ctrl-C, for `python -m tests.attack --port PORT --tls`."""
    with (
        tempfile.TemporaryDirectory(prefix="sepal-proxy-") as folder,
        running_proxy(Path(folder), int(sys.argv[1])) as proxy,
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(f"https://localhost:{proxy.port} is in front of port {sys.argv[1]}", flush=True)
        proxy.part.popen.wait()


if __name__ == "__main__":
    main()
