"""Bounds of the gateway's settings."""

import pytest
from pydantic import ValidationError

from api.settings import GatewaySettings


@pytest.mark.parametrize("name", ["max_rows", "api_port", "result_ttl_seconds"])
def test_settings_out_of_bounds_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({name: -1})
