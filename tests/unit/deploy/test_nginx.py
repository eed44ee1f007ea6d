"""deploy/nginx/nginx.conf agrees with the gateway's settings; tests/integration/test_proxy.py runs it."""

import re
from typing import Final

from api.http.problems import STATUS_BY_CODE
from api.settings import GatewaySettings
from tests.stack import ROOT

TEXT: Final = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
DEFAULTS: Final = GatewaySettings()
_UNITS: Final = {"": 1, "s": 1, "h": 3600, "k": 1024, "m": 1024 * 1024, "g": 1024 * 1024 * 1024}


def values(directive: str) -> list[str]:
    return re.findall(rf"^\s*{directive} (.*);$", TEXT, re.MULTILINE)


def number(text: str) -> int:
    digits, unit = re.fullmatch(r"(\d+)([shkmg]?)", text).groups()  # type: ignore[union-attr]
    return int(digits) * _UNITS[unit]


def test_limits_are_the_gateways_or_a_bit_more() -> None:
    buffers, size = map(number, values("large_client_header_buffers")[0].split())
    limits = {
        size: max(DEFAULTS.max_request_line_bytes, DEFAULTS.max_header_bytes),
        buffers * size: DEFAULTS.max_headers_bytes,
        number(values("client_max_body_size")[0]): DEFAULTS.max_body_bytes,
        number(values("client_max_body_size")[1]): DEFAULTS.max_upload_bytes,
    }
    for proxys, gateways in limits.items():
        assert gateways < proxys <= 2 * gateways
    assert values("limit_conn addresses") == [str(DEFAULTS.max_connections_per_address)]
    assert values("client_header_timeout") == [f"{DEFAULTS.head_seconds:.0f}s"]


def test_timeouts_follow_from_the_gateways() -> None:
    to_client, to_gateway = map(number, values("keepalive_timeout"))
    assert to_gateway < DEFAULTS.idle_seconds <= to_client
    assert min(map(number, values("proxy_read_timeout"))) > DEFAULTS.max_wait_seconds
    assert number(values("keepalive_requests")[1]) < DEFAULTS.max_requests_per_connection


def test_proxy_uses_the_codes_of_the_gateway_or_its_own() -> None:
    codes = re.search(r"map \$status \$problem_code \{(.*?)\}", TEXT, re.DOTALL)
    assert codes is not None
    own = {"gateway-unavailable", "gateway-timeout", "proxy-error"}
    statuses = dict(re.findall(r"(\d{3}) ([a-z0-9-]+);", codes[1]))
    assert {STATUS_BY_CODE[code].value for code in set(statuses.values()) - own if code in STATUS_BY_CODE} <= set(
        map(int, statuses)
    )
    assert {
        int(status)
        for status, code in statuses.items()
        if code in STATUS_BY_CODE and STATUS_BY_CODE[code] != int(status)
    } == set()


def test_addresses_and_bodies_are_passed_on_as_the_documentation_says() -> None:
    headers = dict(value.split(" ", 1) for value in values("proxy_set_header"))
    assert headers["X-Forwarded-For"] == "$remote_addr"
    assert headers["Forwarded"] == '""'
    assert values("proxy_request_buffering") == ["off"]
