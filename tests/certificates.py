"""Self-signed certificates for localhost."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.tools import tool


class Certificate(NamedTuple):
    """The files of a certificate and of its key."""

    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate for localhost and 127.0.0.1, in files that Kubernetes' TLS secrets name likewise."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = Certificate(folder / "tls.crt", folder / "tls.key")
    command = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(certificate.key), "-out", str(certificate.chain)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate
