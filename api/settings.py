"""The gateway's settings."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings import BrokerSettings

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_GIB: Final = 1024 * _MIB

IpNetwork = IPv4Network | IPv6Network


def _parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Parse addresses and networks that are separated by commas."""
    return tuple(map(_parse_network, text.split(","))) if text.strip() else ()


def _parse_network(text: str) -> IpNetwork:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise ValueError(
            f"{text.strip()!r} is not an IP address or network, such as 10.0.0.7 or 10.0.0.0/8: {error}"
        ) from None


def _check_networks(text: str) -> str:
    _parse_networks(text)
    return text


class ConnectionSettings(BaseSettings):
    """What one client, and all of them together, can hold of a gateway process (docs/http.md, "Limits")."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    max_request_line_bytes: int = Field(default=8 * _KIB, ge=64)
    """Longest request line; a longer one is refused with 414."""
    max_header_bytes: int = Field(default=8 * _KIB, ge=64)
    """Longest header line; a longer one is refused with 431."""
    max_headers_bytes: int = Field(default=32 * _KIB, ge=256)
    """Maximum size of a request line and all its headers together; more is refused with 431."""
    max_headers: int = Field(default=100, ge=4)
    """Maximum number of headers of a request; more are refused with 431."""
    max_body_bytes: int = Field(default=8 * _MIB, ge=1)
    """Maximum size of a request body; a larger one is refused with 413, as soon as its size is known."""
    max_upload_bytes: int = Field(default=64 * _GIB, ge=1)
    """The same for the body of `POST /predictions`, as it is sent. It is never held in memory."""
    max_bodies_bytes: int = Field(default=256 * _MIB, ge=1)
    """Maximum size of all bodies that a gateway process is receiving, and of all large ones that wait to be read; what
    goes beyond it is refused with 503."""
    max_chunk_extension_bytes: int = Field(default=4 * _KIB, ge=0)
    """Maximum size of what the chunk-size lines of one body hold beyond the sizes; more is refused with 413."""
    max_trailer_bytes: int = Field(default=8 * _KIB, ge=0)
    """Maximum size of the trailers after a chunked body, which are discarded; more are refused with 431."""
    head_seconds: float = Field(default=10, gt=0)
    """Time from a request's first byte, or from the connection, to the end of its headers; after it, a begun request is
    refused with 408, and a connection that has sent nothing is closed."""
    min_bytes_per_second: int = Field(default=_KIB, ge=1)
    """Slowest rate at which a client may send a body or read a response; it has no bound on the total time."""
    stall_seconds: float = Field(default=10, gt=0)
    """How long a client may be slower than that, which includes sending or reading nothing. After it, a body is refused
    with 408, and a connection whose response is not read is reset."""
    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection may stay open between two requests. Keep it longer than the proxy in front does."""
    max_requests_per_connection: int = Field(default=100_000, ge=1)
    """Number of requests after which a connection is closed, with `Connection: close` in the last response."""
    max_connections: int = Field(default=8192, ge=1)
    """Maximum number of connections of a gateway process; a further one is answered with 503 and closed. The process
    takes fewer where its limit of open files is lower."""
    max_connections_per_address: int = Field(default=4096, ge=1)
    """The same for one client address (for IPv6, one /64 network). Addresses in `SEPAL_TRUSTED_PROXIES` are exempt."""
    max_waiters: int = Field(default=4096, ge=1)
    """Maximum number of requests that wait for a result; a further one is refused with 503."""
    trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = ""
    """Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` and `X-Forwarded-Proto` are
    believed; from other addresses, these headers are ignored."""
    cors_origins: str = ""
    """Origins, separated by commas, whose pages may read responses in a browser (CORS); `*` for all, and by default
    none."""

    @property
    def proxy_networks(self) -> tuple[IpNetwork, ...]:
        """`trusted_proxies` as networks; an address is a network of one."""
        return _parse_networks(self.trusted_proxies)


class GatewaySettings(ConnectionSettings, BrokerSettings):
    """Settings of a gateway process."""

    api_host: str = "127.0.0.1"
    """The address to listen on; containers use 0.0.0.0."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port to listen on."""
    api_processes: int = Field(default=1, ge=1)
    """Number of gateway processes that share the port."""
    wait_seconds: float = Field(default=10, ge=0)
    """How long `POST /predict` waits for the result by default; `Prefer` overrides it."""
    max_wait_seconds: float = Field(default=60, ge=0)
    """The longest wait; a longer `Prefer: wait=N` is shortened to it."""
    answered_ttl_seconds: int = Field(default=60, gt=0)
    """How long a result is kept after the waiting client has received it."""
    max_rows: int = Field(default=10_000, ge=1)
    """Maximum number of rows in one prediction."""
    max_text_bytes: int = Field(default=1024 * 1024, ge=1)
    """Maximum size of one text in a row, in bytes of UTF-8."""
    max_backlog_rows: int = Field(default=1_000_000, ge=1)
    """Maximum backlog (rows accepted and not yet final) of the interactive queue; predictions beyond it are refused
    with 503."""
    max_bulk_backlog_rows: int = Field(default=1_000_000, ge=1)
    """The same for the bulk queue, which takes predictions larger than a batch. A full bulk queue does not stop the
    interactive queue from accepting predictions."""
    bulk_result_ttl_seconds: int = Field(default=24 * 3600, gt=0)
    """How long a final bulk prediction, one of `POST /predictions`, can still be fetched."""
    max_bulk_bytes: int = Field(default=64 * _GIB, ge=1)
    """Maximum size of the rows and results of all bulk predictions in the object store; an upload beyond it is refused
    with 507. Give the object store a tenth more: results that clients read in ranges are written there, too."""
    max_uploads: int = Field(default=4, ge=1)
    """Number of uploads that a gateway process reads at once, each in a process of its own; more of them wait."""
    max_downloads: int = Field(default=4, ge=1)
    """Number of results of bulk predictions that a gateway process writes at once, likewise."""
    table_process_bytes: int = Field(default=400_000_000, ge=200_000_000)
    """The most memory that a process which reads an upload, or writes a result, may allocate (RLIMIT_DATA)."""
    max_inflated_bytes: int = Field(default=16 * _GIB, ge=1)
    """Maximum size of an upload whose content coding is undone."""
    max_inflate_ratio: int = Field(default=200, ge=1)
    """Maximum size of such an upload in relation to what is sent; it is checked after the first 16 MB."""
    max_json_upload_bytes: int = Field(default=64 * _MIB, ge=1)
    """Maximum size of an upload of `application/json`, inflated, which is read as a whole. Other formats are not."""
    drain_seconds: float = Field(default=3, ge=0)
    """How long a gateway waits for results after SIGTERM or SIGINT before it answers the open requests with 202."""
    stalled_after_seconds: float = Field(default=90, gt=0)
    """The gateway is not ready if no row has become final for this long while rows wait and workers live. Set it
    longer than `SEPAL_BATCH_SECONDS`."""
    dead_letter_ttl_seconds: int = Field(default=7 * 24 * 3600, gt=0)
    """How long a dead letter is kept."""
    operator_token: SecretStr | None = Field(default=None, min_length=1)
    """The bearer token that `/dead-letters` requires; if it is unset, `/dead-letters` refuses every request."""
