"""Connections: TLS, and the cost of importing the client."""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from sepal_client import GatewayUnreachable, RequestRefused
from tests.certificates import Certificate, make_certificate
from tests.clients import Connect
from tests.scripted import Exchange, scripted, unheard

RESULT = {
    "prediction": [0],
    "id": "AaIG",
    "status": "succeeded",
    "model": {"name": "iris", "version": "1", "digest": "sha256:0"},
}
ACCEPTED = {"rows": {"done": 0, "total": 1, "bad": 0}, "id": "AaIG", "status": "queued"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))


def answer(exchange: Exchange) -> None:
    exchange.read_body().json(200, RESULT)


@pytest.mark.usefixtures("trusted")
def test_trusted_certificate_is_accepted(connect: Connect, tls: ssl.SSLContext) -> None:
    with scripted(answer, tls=tls) as server, connect(server.url) as client:
        assert client.predict([[1]]).prediction == [0]


@pytest.mark.usefixtures("trusted")
def test_file_is_uploaded_in_spite_of_messages_of_tls(connect: Connect, tls: ssl.SSLContext, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\n" + b"1\n" * 5_000_000)

    def accept(exchange: Exchange) -> None:
        exchange.read_body().json(202, ACCEPTED)

    with scripted(accept, tls=tls) as server, connect(server.url) as client:
        client.submit(path)
    assert server.exchanges[0].body == path.read_bytes()


@pytest.mark.usefixtures("trusted")
def test_refusal_of_an_upload_is_read_through_tls(connect: Connect, tls: ssl.SSLContext, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\n" + b"1\n" * 5_000_000)

    def refuse(exchange: Exchange) -> None:
        exchange.problem(413, "body-too-large")
        exchange.wait_until_gone()

    with (
        scripted(refuse, tls=tls) as server,
        connect(server.url) as client,
        pytest.raises(RequestRefused, match="body-too-large"),
    ):
        client.submit(path)


def test_unknown_certificate_is_not_tried_twice(connect: Connect, tls: ssl.SSLContext) -> None:
    with (
        scripted(unheard, tls=tls) as server,
        connect(server.url) as client,
        pytest.raises(GatewayUnreachable, match="certificate verify failed"),
    ):
        client.predict([[1]])


def test_server_without_tls_is_not_tried_twice(connect: Connect) -> None:
    with (
        scripted(unheard) as server,
        connect(server.url.replace("http:", "https:")) as client,
        pytest.raises(GatewayUnreachable, match="Cannot connect"),
    ):
        client.predict([[1]])


def test_libraries_of_data_frames_are_imported_only_for_data_frames() -> None:
    program = (
        "import sys; from sepal_client import AsyncSepal, Sepal; "
        "from sepal_client.sources import open_source; open_source([[1]], None).close(); "
        "print({'numpy', 'pandas', 'polars', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_names_are_imported_when_they_are_used() -> None:
    program = (
        "import sys, sepal_client; print('httpx' in sys.modules); sepal_client.Sepal; print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue\n"


def test_every_public_name_is_there() -> None:
    import sepal_client

    for name in sepal_client.__all__:
        assert getattr(sepal_client, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = sepal_client.Missing
