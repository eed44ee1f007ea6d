"""The composed system that all tests of the containers share."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.scaling.compose_project import ComposeProject
from tests.certificates import Certificate, make_certificate
from tests.patience import patience
from tests.stack import ROOT, Client, free_port

WORKERS = 2
PASSWORD = "a-password-of-the-tests"
_PROMETHEUS = "prom/prometheus:v3.5.0"
_STAND_IN = "sepal-tests-prometheus"


@dataclass(frozen=True)
class System:
    """A running project of docker-compose, and its clients."""

    composed: ComposeProject
    client: Client
    flower: httpx.Client
    prometheus: httpx.Client
    certificate: Certificate
    tls_port: int

    def proxy(self) -> httpx.Client:
        """Return a client of the proxy that trusts only the current certificate and keeps no earlier connection."""
        trust = ssl.create_default_context(cafile=self.certificate.chain)
        return httpx.Client(base_url=f"https://localhost:{self.tls_port}", verify=trust, timeout=patience())


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    if shutil.which("docker") is None:
        pytest.fail("these tests need a container engine")
    api_port, flower_port, prometheus_port, tls_port = (free_port() for _ in range(4))
    certificate = make_readable_certificate(tmp_path_factory.mktemp("tls"))
    environment = {
        "SEPAL_API_PORT": str(api_port),
        "SEPAL_FLOWER_PORT": str(flower_port),
        "SEPAL_REDIS_PASSWORD": PASSWORD,
        "SEPAL_FLOWER_PASSWORD": PASSWORD,
        "SEPAL_OPERATOR_TOKEN": PASSWORD,
        "SEPAL_PROMETHEUS_PORT": str(prometheus_port),
        "SEPAL_PROMETHEUS_IMAGE": prometheus_image(),
        "COMPOSE_PROFILES": "monitoring,tls",
        "SEPAL_TLS_PORT": str(tls_port),
        "SEPAL_TLS_DIR": str(certificate.key.parent),
        "SEPAL_TRUSTED_PROXIES": "172.16.0.0/12,192.168.0.0/16",
    }
    client = Client(api_port)
    flower = httpx.Client(base_url=f"http://127.0.0.1:{flower_port}", auth=("sepal", PASSWORD), timeout=patience())
    prometheus = httpx.Client(base_url=f"http://127.0.0.1:{prometheus_port}", timeout=patience())
    project = ComposeProject(n_workers=WORKERS, environment=environment)
    with client.client, flower, prometheus, project as composed:
        yield System(composed, client, flower, prometheus, certificate, tls_port)


def make_readable_certificate(folder: Path) -> Certificate:
    """Make a certificate that the user of the proxy's container can read."""
    certificate = make_certificate(folder)
    folder.chmod(0o755)
    certificate.key.chmod(0o644)
    return certificate


def prometheus_image() -> str:
    """Return the image that docker-compose.yml names or, if it cannot be pulled, one built from Debian's package."""
    if _docker("image", "inspect", _PROMETHEUS) or _docker("pull", "--quiet", _PROMETHEUS):
        return _PROMETHEUS
    assert _docker("build", "--quiet", "--tag", _STAND_IN, str(ROOT / "tests" / "images" / "prometheus"))
    return _STAND_IN


def _docker(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0
