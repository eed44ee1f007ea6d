"""Fixtures for tests of the client against a real stack."""

import pytest

from tests.clients import KINDS, Connect, connector


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client, of each kind in turn."""
    return connector(request.param)
