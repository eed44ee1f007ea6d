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
    """Limits on what one client, and all clients together, can use of a gateway process (docs/http.md, "Limits")."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    max_request_line_bytes: int = Field(default=8 * _KIB, ge=64)
    """Maximum length of a request line; a longer one is refused with 414."""
    max_header_bytes: int = Field(default=8 * _KIB, ge=64)
    """Maximum length of a header line; a longer one is refused with 431."""
    max_headers_bytes: int = Field(default=32 * _KIB, ge=256)
    """Maximum total size of a request line and its headers; a request with more is refused with 431."""
    max_headers: int = Field(default=100, ge=4)
    """Maximum number of headers of a request; a request with more is refused with 431."""
    max_body_bytes: int = Field(default=8 * _MIB, ge=1)
    """Maximum size of a request body; a larger one is refused with 413 as soon as its size is known."""
    max_upload_bytes: int = Field(default=64 * _GIB, ge=1)
    """Maximum size of the body of `POST /predictions`, before decompression. It is never kept in memory as a whole."""
    max_bodies_bytes: int = Field(default=256 * _MIB, ge=1)
    """Maximum total size of the bodies that a gateway process is receiving, and of the large bodies that wait to be
    read; a body beyond either limit is refused with 503."""
    max_chunk_extension_bytes: int = Field(default=4 * _KIB, ge=0)
    """Maximum total size of the chunk extensions of a chunked body; a body with more is refused with 413."""
    max_trailer_bytes: int = Field(default=8 * _KIB, ge=0)
    """Maximum total size of the trailers of a chunked body, which are discarded; more are refused with 431."""
    head_seconds: float = Field(default=10, gt=0)
    """Time limit to the first byte of a connection, and from the first byte of a request to the end of its headers.
    After it, a connection that has sent nothing is closed, and an incomplete request is refused with 408."""
    min_bytes_per_second: int = Field(default=_KIB, ge=1)
    """Minimum rate at which a client must send a body or read a response. The total time is not limited."""
    stall_seconds: float = Field(default=10, gt=0)
    """How long a client may stay below `SEPAL_MIN_BYTES_PER_SECOND`, or send or read nothing. After that, a body is
    refused with 408, and a connection whose response is not read is reset."""
    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection may stay open between two requests. Set it longer than the idle timeout of a
    proxy in front of the gateway."""
    max_requests_per_connection: int = Field(default=100_000, ge=1)
    """Number of requests after which a connection is closed; the last response has `Connection: close`."""
    max_connections: int = Field(default=8192, ge=1)
    """Maximum number of connections of a gateway process; a further one gets the response 503 and is closed. The
    process accepts fewer if its limit of open files is lower."""
    max_connections_per_address: int = Field(default=4096, ge=1)
    """Maximum number of connections from one address (for IPv6, one /64 network). Addresses in `SEPAL_TRUSTED_PROXIES`
    are exempt."""
    max_waiters: int = Field(default=4096, ge=1)
    """Maximum number of requests that wait for a result; a further one is refused with 503."""
    trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = ""
    """Addresses and networks of proxies, separated by commas, from which the gateway accepts `X-Forwarded-For` and
    `X-Forwarded-Proto`; from other addresses, it ignores these headers."""
    cors_origins: str = ""
    """Origins, separated by commas, whose pages may read responses in a browser (CORS). `*` allows all origins; the
    default allows none."""

    @property
    def proxy_networks(self) -> tuple[IpNetwork, ...]:
        """`trusted_proxies` as networks; a single address becomes a network of one address."""
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
    """How long `POST /predict` waits for the result by default; the header `Prefer` overrides it."""
    max_wait_seconds: float = Field(default=60, ge=0)
    """Maximum wait of `POST /predict`; a longer `Prefer: wait=N` is shortened to it."""
    answered_ttl_seconds: int = Field(default=60, gt=0)
    """How long a result is kept after it was returned to a client that waited for it."""
    max_rows: int = Field(default=10_000, ge=1)
    """Maximum number of rows in one `POST /predict`."""
    max_text_bytes: int = Field(default=1024 * 1024, ge=1)
    """Maximum size of a text or of a string in a row, in bytes of UTF-8."""
    max_backlog_rows: int = Field(default=1_000_000, ge=1)
    """Maximum backlog (rows accepted and not yet final) of the interactive queue; predictions beyond it are refused
    with 503."""
    max_bulk_backlog_rows: int = Field(default=1_000_000, ge=1)
    """Maximum backlog of the bulk queue, which receives predictions larger than a batch. A full bulk queue does not
    stop the interactive queue from accepting predictions."""
    bulk_result_ttl_seconds: int = Field(default=24 * 3600, gt=0)
    """How long the result of a bulk prediction (`POST /predictions`) is kept once it is final."""
    max_bulk_bytes: int = Field(default=64 * _GIB, ge=1)
    """Maximum total size of the rows and results of all bulk predictions in the object store; an upload beyond it is
    refused with 507. Give the object store a tenth more, for the files of results that clients read in ranges."""
    max_uploads: int = Field(default=4, ge=1)
    """Maximum number of uploads that a gateway process reads in parallel, each in its own process; others wait."""
    max_downloads: int = Field(default=4, ge=1)
    """Maximum number of results that a gateway process writes in parallel, each in its own process; others wait."""
    table_process_bytes: int = Field(default=400_000_000, ge=200_000_000)
    """Maximum memory of a process that reads an upload or writes a result (RLIMIT_DATA)."""
    max_inflated_bytes: int = Field(default=16 * _GIB, ge=1)
    """Maximum size of a compressed upload after decompression."""
    max_inflate_ratio: int = Field(default=200, ge=1)
    """Maximum ratio of the decompressed size of an upload to its compressed size, checked after the first 16 MB."""
    max_json_upload_bytes: int = Field(default=64 * _MIB, ge=1)
    """Maximum decompressed size of an `application/json` upload, which, unlike other formats, is read as a whole."""
    drain_seconds: float = Field(default=3, ge=0)
    """How long a gateway waits for results after SIGTERM or SIGINT before it responds to waiting requests with 202."""
    stalled_after_seconds: float = Field(default=90, gt=0)
    """The gateway is not ready if rows wait and workers are alive, but no row has become final for this long. Set it
    longer than `SEPAL_BATCH_SECONDS`."""
    dead_letter_ttl_seconds: int = Field(default=7 * 24 * 3600, gt=0)
    """How long a dead letter is kept."""
    operator_token: SecretStr | None = Field(default=None, min_length=1)
    """The bearer token that `/dead-letters` requires; if it is unset, `/dead-letters` refuses every request."""
