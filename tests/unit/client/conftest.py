"""Fixtures for tests of the client."""

import time
from types import SimpleNamespace

import pytest

from tests.clients import KINDS, Connect, Later, connector


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client, of each kind in turn."""
    return connector(request.param)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Sets the clock of the client's timers forward by a number of seconds."""
    ahead = 0.0

    def later(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead)
    monkeypatch.setattr("sepal_client.timer.time", clock)
    return later
