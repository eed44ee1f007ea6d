"""The header `X-Forwarded-For` of a trusted proxy."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from hypothesis import strategies as st

from api.http.forwarded_headers import TrustedProxies
from tests.fuzz.parsers.effort import assert_linear, pumped
from tests.fuzz.parsers.properties import Property

_NETWORKS: Final = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]
_PROXIES: Final = TrustedProxies(_NETWORKS)
_PEER: Final = "10.0.0.1"

_ADDRESSES: Final = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=4, network="10.0.0.0/8"),
    st.ip_addresses(v=6),
    st.ip_addresses(v=6, network="2001:db8::/32"),
    st.ip_addresses(v=6, network="::ffff:0:0/96"),
)


@st.composite
def _hop(draw: st.DrawFn) -> str:
    address = draw(_ADDRESSES)
    text = address.exploded if draw(st.booleans()) else str(address)
    if not draw(st.booleans()):
        return text.upper()
    port = draw(st.integers(0, 99_999))
    return f"{text}:{port}" if isinstance(address, IPv4Address) else f"[{text}]:{port}"


_GARBAGE: Final = st.text(st.sampled_from("0123456789abcdef.:[]%é _/\x00"), max_size=20)
_HEADERS: Final = st.lists(st.one_of(_hop(), _hop(), _GARBAGE), max_size=6).map(", ".join)
_FRAGMENTS: Final = st.sampled_from([b",", b"10.0.0.1", b"[", b"]", b":", b".", b"2001:db8::1", b" ", b"1", b"\xe9"])


def reference(value: str) -> str:
    """Find the client from the left: after the last hop that is not a trusted address, or that hop, if an address."""
    hops = [_read(hop.strip(" \t")) for hop in value.split(",") if hop.strip(" \t")]
    client = _PEER
    for hop in hops[::-1]:
        if hop is None:
            return client
        client = str(hop)
        if not any(hop in network for network in _NETWORKS):
            return client
    return client


def _read(hop: str) -> IPv4Address | IPv6Address | None:
    if not hop.isascii() or "%" in hop or "/" in hop:
        return None
    text, bracket, rest = hop.removeprefix("[").partition("]") if hop.startswith("[") else (hop, "", "")
    if hop.startswith("[") and not bracket:
        return None
    if not bracket and hop.count(":") == 1:
        text, _, port = hop.partition(":")
        rest = f":{port}"
    if rest and not (rest[0] == ":" and 1 <= len(rest[1:]) <= 5 and set(rest[1:]) <= set("0123456789")):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _agrees(value: str) -> None:
    assert _PROXIES.client_address(_PEER, value.encode("latin-1")) == reference(value)


def _is_an_address_in_one_spelling(value: bytes) -> None:
    client = _PROXIES.client_address(_PEER, value)
    assert str(ip_address(client)) == client


PROPERTIES: Final = [
    Property("agrees with a slow reader", _HEADERS, _agrees),
    Property(
        "gives an address in one spelling",
        st.one_of(st.binary(max_size=40), _HEADERS.map(lambda text: text.encode("latin-1"))),
        _is_an_address_in_one_spelling,
    ),
    Property(
        "takes linear time",
        pumped(_FRAGMENTS),
        lambda text: assert_linear(lambda value: _PROXIES.client_address(_PEER, value), text),
    ),
]
