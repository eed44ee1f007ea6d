"""The proxy, the observer and the movable clock of the chaos run work."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos import clock
from tests.chaos.observer import Observer
from tests.chaos.proxy import Proxy
from tests.patience import patience
from tests.stack import ROOT, wait_for
from tests.tools import skip_without

SHORT_SECONDS = 0.5  # how long a test waits for data that must not arrive


@pytest.fixture
def proxy(broker_port: int) -> Iterator[Proxy]:
    proxy = Proxy(broker_port)
    try:
        yield proxy
    finally:
        proxy.stop()


def redis_through(proxy: Proxy, seconds: float | None = None) -> redis.Redis:
    return redis.Redis(port=proxy.port, socket_timeout=seconds or patience(), retry=None)  # type: ignore[arg-type]


def connected(proxy: Proxy) -> socket.socket:
    """Open a connection through the proxy, and check that it works."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=patience())
    connection.sendall(b"PING\r\n")
    assert connection.recv(100) == b"+PONG\r\n"
    return connection


def test_proxy_forwards_data(proxy: Proxy) -> None:
    with redis_through(proxy) as client:
        assert client.echo("x" * 100_000) == b"x" * 100_000


def test_proxy_closes_connections_and_accepts_new_ones(proxy: Proxy) -> None:
    with connected(proxy) as old:
        proxy.cut()
        assert old.recv(100) == b""
    with redis_through(proxy) as client:
        assert client.ping()


def test_discarding_proxy_never_revives_old_connections_but_forwards_new_ones(proxy: Proxy) -> None:
    with connected(proxy) as old:
        proxy.start_discarding()
        with redis_through(proxy, SHORT_SECONDS) as client, pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.stop_discarding()
        with redis_through(proxy) as client:
            assert client.ping()
        old.sendall(b"PING\r\n")
        old.settimeout(SHORT_SECONDS)
        with pytest.raises(TimeoutError):
            old.recv(100)


def test_observer_counts_batches_with_two_published_outcomes(broker_port: int) -> None:
    observer = Observer(broker_port)
    try:
        with redis.Redis(port=broker_port) as client:
            wait_for(lambda: client.pubsub_numpat(), "the subscription")
            for message in (b"a 1 first", b"a 2 second", b"b 1 first", b"c 1 ", b"c 2 "):
                client.publish("sepal:reply:x", message)
            wait_for(lambda: observer.n_published == 2, "both batches")
            assert observer.n_committed_twice == 1
    finally:
        observer.stop()


def test_moved_clock_affects_one_process_which_can_still_sleep(tmp_path: Path) -> None:
    if clock.library() is None:
        skip_without("libfaketime (Debian's package faketime)")
    program = """
import time
from tests.chaos.clock import patch_sleep
patch_sleep()
while True:
    time.sleep(0.05)
    print(time.time(), flush=True)
"""
    moved = clock.Clock(tmp_path / "clock")
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | moved.environment(), stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert float(process.stdout.readline()) - time.time() < clock.HOUR / 2
            moved.move(clock.HOUR)
            lines = iter(process.stdout.readline, b"")
            assert next(line for line in lines if float(line) - time.time() > clock.HOUR / 2)
        finally:
            process.kill()
