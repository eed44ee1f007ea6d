"""Timeouts of the gateway's transports."""

from typing import Any

import pytest

from shared.store import pipelined, pooled


@pytest.mark.parametrize("transport", [pipelined, pooled])
def test_call_to_a_frozen_broker_fails_within_two_seconds(transport: Any) -> None:
    assert transport.TIMEOUT_SECONDS * transport._TIMEOUTS_PER_CALL < 2
