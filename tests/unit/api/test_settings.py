"""Bounds of the gateway's settings."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from api.settings import GatewaySettings


@pytest.mark.parametrize("name", ["max_rows", "api_port", "result_ttl_seconds"])
def test_settings_out_of_bounds_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({name: -1})


def test_trusted_proxies_are_addresses_and_networks() -> None:
    settings = GatewaySettings(trusted_proxies="10.0.0.7, 10.1.0.0/16,2001:db8::/32")
    assert settings.proxy_networks == tuple(map(ip_network, ("10.0.0.7/32", "10.1.0.0/16", "2001:db8::/32")))
    assert GatewaySettings().proxy_networks == ()


@pytest.mark.parametrize("part", ["proxy.example", "*", "10.0.0.7/8", "10.0.0.256", "", "10.0.0.7:80"])
def test_trusted_proxy_that_is_no_address_is_refused_by_name(part: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies") as refused:
        GatewaySettings(trusted_proxies=f"192.0.2.1, {part}")
    assert f"{part!r} is not an IP address or network" in str(refused.value)
