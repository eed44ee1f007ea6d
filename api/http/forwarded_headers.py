"""Takes a client's address and scheme from `X-Forwarded-For` and `X-Forwarded-Proto`, if a trusted proxy sent them.

uvicorn's middleware does the same, but accepts any string as an address. This module accepts only valid addresses and
normalizes them, because a client can be identified by its address (`RequestHeaders.owner`). `Forwarded` (RFC 7239) and
all other `X-Forwarded-` headers are ignored.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

from api.settings import IpNetwork

_SCHEMES: Final = {b"http": "http", b"https": "https"}
_CACHED_ADDRESSES: Final = 4096
_HOP: Final = re.compile(
    r"(?:(?P<v4>[0-9.]{7,15})|\[(?P<bracketed>[0-9A-Fa-f:.]{2,45})\])(?::[0-9]{1,5})?|(?P<v6>[0-9A-Fa-f:.]{2,45})"
)
"""An address, alone or with a port; an IPv6 address with a port is in brackets."""


class TrustedProxies:
    """The proxies from which `X-Forwarded-` headers are accepted."""

    def __init__(self, networks: Sequence[IpNetwork]) -> None:
        self._networks = networks
        self._trusts = lru_cache(_CACHED_ADDRESSES)(self._is_in_a_network)

    def __contains__(self, host: str) -> bool:
        """Return whether an address belongs to a trusted proxy."""
        return self._trusts(host)

    def apply_forwarded_headers(self, scope: Scope) -> None:
        """Replace the client and the scheme of an ASGI scope by those in the headers, if a trusted proxy sent them."""
        peer = (scope.get("client") or ("",))[0]
        if peer not in self:
            return
        headers = scope["headers"]
        stated = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        client = self.client_address(peer, stated)
        if client != peer:
            scope["client"] = (client, 0)
        schemes = [value for name, value in headers if name == b"x-forwarded-proto"]
        if len(schemes) == 1 and schemes[0] in _SCHEMES:
            scope["scheme"] = _SCHEMES[schemes[0]]

    def client_address(self, peer_address: str, forwarded_for: bytes) -> str:
        """Return the client's address by `X-Forwarded-For`, to which each proxy appends the address of its peer.

        Args:
            peer_address: the trusted proxy that sent the header.
            forwarded_for: its values, joined by commas.

        Returns:
            The first address from the right that does not belong to a trusted proxy. If an invalid entry or the end of
            the list comes first, the last trusted proxy before it.
        """
        client = peer_address
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            stripped = hop.strip(" \t")
            if not stripped:  # RFC 9110, section 5.6.1: empty elements of a list do not count
                continue
            address = _parse_address(stripped)
            if address is None:
                break
            client = str(address)
            if client not in self:
                break
        return client

    def _is_in_a_network(self, host: str) -> bool:
        try:
            address = _unmap_ipv4(ip_address(host))
        except ValueError:  # a Unix socket's client has no address
            return False
        return any(address in network for network in self._networks)


def _parse_address(hop: str) -> IPv4Address | IPv6Address | None:
    match = _HOP.fullmatch(hop)
    if match is None:
        return None
    try:
        return _unmap_ipv4(ip_address(match["v4"] or match["bracketed"] or match["v6"]))
    except ValueError:
        return None


def _unmap_ipv4(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Convert an IPv4-mapped IPv6 address, as a dual-stack socket reports IPv4 clients, to an IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
