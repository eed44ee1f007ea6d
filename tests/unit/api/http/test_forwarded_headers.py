"""The client address that is used if proxies are trusted."""

from ipaddress import ip_network
from typing import Any

import pytest

from api.http.forwarded_headers import TrustedProxies

PROXIES = TrustedProxies([ip_network(each) for each in ("10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48")])
PEER = "10.0.0.1"


def scope(peer: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    client = None if peer is None else (peer, 50_000)
    return {"type": "http", "client": client, "scheme": "http", "headers": list(headers)}


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        # one proxy, and several
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 10.1.1.1", "203.0.113.5"),
        ("203.0.113.5, 192.0.2.7, 10.1.1.1", "203.0.113.5"),
        # what a client has written stands to the left of its own address
        ("198.51.100.9, 203.0.113.5", "203.0.113.5"),
        ("10.9.9.9, 203.0.113.5, 10.1.1.1", "203.0.113.5"),
        ("<script>, 203.0.113.5", "203.0.113.5"),
        # a client inside the trusted networks
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        # with a port, or in IPv6, in one spelling
        ("203.0.113.5:4711", "203.0.113.5"),
        ("2001:DB8:0:0::5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[2001:db8::5]:4711, 2001:db8:1::2", "2001:db8::5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, ::ffff:10.1.1.1", "203.0.113.5"),
        # no address: the proxy that it came from
        ("", PEER),
        (" , ,", PEER),
        ("unknown", PEER),
        ("_hidden, 10.1.1.1", "10.1.1.1"),
        ("203.0.113.5, unknown", PEER),
        ("203.0.113.5 198.51.100.9", PEER),
        ("203.0.113.256", PEER),
        ("203.0.113.05", PEER),
        ("203.0.113.5:", PEER),
        ("203.0.113.5:123456", PEER),
        ("203.0.113.5:80:80", PEER),
        ("2001:db8::5::1", PEER),
        ("[2001:db8::5", PEER),
        ("[203.0.113.5]x", PEER),
        ("fe80::1%eth0", PEER),
        ("٢٠٣.0.113.5", PEER),
        ("203.0.113.5\x00", PEER),
        ("203.0.113.5\n", PEER),
        # empty elements do not count
        ("203.0.113.5,, ,", "203.0.113.5"),
    ],
)
def test_client_is_the_rightmost_address_that_is_no_trusted_proxy(forwarded_for: str, client: str) -> None:
    assert PROXIES.client_address(PEER, forwarded_for.encode("utf-8")) == client


def test_header_that_stands_several_times_is_one_list() -> None:
    found = scope(PEER, (b"x-forwarded-for", b"198.51.100.9, 203.0.113.5"), (b"x-forwarded-for", b"10.1.1.1"))
    PROXIES.apply_forwarded_headers(found)
    assert found["client"] == ("203.0.113.5", 0)


@pytest.mark.parametrize("peer", ["203.0.113.9", "192.0.2.8", "2001:db8:2::1", "::1", "", None])
def test_headers_from_other_addresses_are_ignored(peer: str | None) -> None:
    found = scope(peer, (b"x-forwarded-for", b"198.51.100.9"), (b"x-forwarded-proto", b"https"))
    expected = scope(peer, *found["headers"])
    PROXIES.apply_forwarded_headers(found)
    assert found == expected


@pytest.mark.parametrize("peer", ["10.255.0.1", "192.0.2.7", "2001:db8:1::9", "::ffff:10.0.0.1"])
def test_headers_from_a_trusted_proxy_are_believed(peer: str) -> None:
    found = scope(peer, (b"x-forwarded-for", b"198.51.100.9"), (b"x-forwarded-proto", b"https"))
    PROXIES.apply_forwarded_headers(found)
    assert (found["client"], found["scheme"]) == (("198.51.100.9", 0), "https")


@pytest.mark.parametrize("values", [[b"ftp"], [b"HTTPS"], [b"https, http"], [b"https", b"https"], []])
def test_scheme_that_is_not_stated_once_is_the_connections(values: list[bytes]) -> None:
    found = scope(PEER, *((b"x-forwarded-proto", value) for value in values))
    PROXIES.apply_forwarded_headers(found)
    assert found["scheme"] == "http"


def test_other_headers_of_a_trusted_proxy_change_nothing() -> None:
    found = scope(PEER, (b"forwarded", b"for=198.51.100.9;proto=https"), (b"x-real-ip", b"198.51.100.9"))
    PROXIES.apply_forwarded_headers(found)
    assert (found["client"], found["scheme"]) == ((PEER, 50_000), "http")
