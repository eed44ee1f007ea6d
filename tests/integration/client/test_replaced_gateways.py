"""A gateway is killed or stopped, and replaced, during a request: there is one prediction, and files are complete."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sepal_client import DownloadIncomplete, GatewayUnreachable, Sepal, State
from tests.clients import Connect
from tests.gates import Gates
from tests.stack import Part, Stack, running_stack, wait_for
from tests.uploads import GATED_HEADER

GATE = 3
N_ROWS = 600_000
"""The file, and its result, are larger than what sockets buffer."""
BOTH = pytest.mark.parametrize(("connect", "how"), [("sync", "kill"), ("async", "stop")], indirect=["connect"])


class Replaceable:
    """A gateway of a stack, which others can take the place of, on the same port."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.gateway = stack.start_gateway()
        self.port = self.gateway.port
        self.url = f"http://127.0.0.1:{self.port}"

    def replace(self, how: str) -> None:
        """End the gateway as `Part.kill` or `Part.stop` does, and start another without waiting for it."""
        {"kill": Part.kill, "stop": Part.stop}[how](self.gateway.part)
        self.gateway = self._stack.start_gateway(port=self.port)


class Once:
    """Replaces a gateway the first time that enough bytes have been moved; a callback of the client."""

    def __init__(self, replaceable: Replaceable, how: str, n_bytes: int = 1) -> None:
        self._replaceable = replaceable
        self._how = how
        self._n_bytes = n_bytes
        self.counts: list[int] = []
        self.is_done = False

    def __call__(self, n_bytes: int, _: int | None) -> None:
        self.counts.append(n_bytes)
        if not self.is_done and n_bytes >= self._n_bytes:
            self.is_done = True
            self._replaceable.replace(self._how)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("replaced"), model_dir) as (stack, _):
        yield stack


@pytest.fixture
def replaceable(stack: Stack) -> Iterator[Replaceable]:
    replaceable = Replaceable(stack)
    replaceable.gateway.wait_until_ready()
    yield replaceable
    replaceable.gateway.part.stop()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text(GATED_HEADER + "\n" + "1.0000000000000000000,0\n-1.000000000000000000,0\n" * (N_ROWS // 2))
    return path


@pytest.fixture(scope="module")
def done(stack: Stack, file: Path) -> str:
    """The id of a prediction that has succeeded."""
    with Sepal(f"http://127.0.0.1:{stack.gateways[0].port}") as client:
        prediction = client.submit(file)
        prediction.wait()
        return prediction.id


def ids_of(client: Any) -> set[str]:
    return {each.id for each in client.predictions()}


@BOTH
def test_upload_is_accepted_once(connect: Connect, replaceable: Replaceable, file: Path, how: str) -> None:
    with connect(replaceable.url) as client:
        before = ids_of(client)
        once = Once(replaceable, how, n_bytes=3_000_000)
        prediction = client.submit(file, on_sent=once)
        assert once.is_done
        assert once.counts != sorted(once.counts)
        assert ids_of(client) - before == {prediction.id}
        assert prediction.wait().rows_done == N_ROWS


@BOTH
@pytest.mark.parametrize("suffix", ["arrow", "csv"])
def test_download_is_whole(
    connect: Connect, replaceable: Replaceable, done: str, tmp_path: Path, how: str, suffix: str
) -> None:
    expected, target = tmp_path / f"expected.{suffix}", tmp_path / f"target.{suffix}"
    with connect(replaceable.url) as client:
        client.prediction(done).download(expected)
        once = Once(replaceable, how)
        client.prediction(done).download(target, on_received=once)
    assert once.is_done
    assert target.read_bytes() == expected.read_bytes()


@BOTH
def test_waiting_goes_on(connect: Connect, replaceable: Replaceable, gates: Gates, how: str) -> None:
    with connect(replaceable.url) as client:
        with gates.closed(GATE):
            prediction = client.submit([[1, GATE]])
            changes = prediction.progress()
            assert not next(changes).is_final
            replaceable.replace(how)
        assert list(changes)[-1].state is State.SUCCEEDED
        assert prediction.result().prediction == [1]


@BOTH
def test_rows_are_predicted_once(
    connect: Connect, replaceable: Replaceable, stack: Stack, gates: Gates, how: str
) -> None:
    before = stack.count("accepted")
    with connect(replaceable.url) as client, gates.closed(GATE):
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(client.predict([[1, GATE]])))
        thread.start()
        wait_for(lambda: stack.count("accepted") > before, "an accepted row")
        replaceable.replace(how)
        gates.open(GATE)
        thread.join()
    assert found[0].prediction == [1]
    assert stack.count("accepted") == before + 1


def test_gateway_that_does_not_come_back_is_an_error_and_leaves_no_file(
    connect: Connect, stack: Stack, done: str, tmp_path: Path
) -> None:
    gateway = stack.start_gateway().wait_until_ready()

    def kill(*_: Any) -> None:
        gateway.part.kill()

    with connect(f"http://127.0.0.1:{gateway.port}", retry_for=0.5) as client:
        client.prediction(done).wait()
        with pytest.raises(DownloadIncomplete, match="no file is left"):
            client.prediction(done).download(tmp_path / "scored.arrow", on_received=kill)
        with pytest.raises(GatewayUnreachable):
            client.prediction(done).status()
    assert list(tmp_path.iterdir()) == []
