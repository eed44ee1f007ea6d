"""How long the gateway's transports wait for the broker."""

from typing import Any

import pytest

from shared.store import pipelined, pooled


@pytest.mark.parametrize("transport", [pipelined, pooled])
def test_request_that_finds_the_broker_frozen_is_refused_within_two_seconds(transport: Any) -> None:
    assert transport.PATIENCE_SECONDS * transport._OPERATION_PATIENCES < 2
