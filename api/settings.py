"""The gateway's settings."""

from pydantic import Field, SecretStr

from shared.settings import BrokerSettings


class GatewaySettings(BrokerSettings):
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
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    """Maximum size of a request body."""
    max_text_bytes: int = Field(default=1024 * 1024, ge=1)
    """Maximum size of one text in a row, in bytes of UTF-8."""
    max_backlog_rows: int = Field(default=1_000_000, ge=1)
    """Maximum backlog (rows accepted and not yet final) of the interactive queue; predictions beyond it are refused
    with 503."""
    max_bulk_backlog_rows: int = Field(default=1_000_000, ge=1)
    """The same for the bulk queue, which takes predictions larger than a batch. A full bulk queue does not stop the
    interactive queue from accepting predictions."""
    drain_seconds: float = Field(default=3, ge=0)
    """How long a gateway waits for results after SIGTERM or SIGINT before it answers the open requests with 202."""
    stalled_after_seconds: float = Field(default=90, gt=0)
    """The gateway is not ready if no row has become final for this long while rows wait and workers live. Set it
    longer than `SEPAL_BATCH_SECONDS`."""
    dead_letter_ttl_seconds: int = Field(default=7 * 24 * 3600, gt=0)
    """How long a dead letter is kept."""
    operator_token: SecretStr | None = Field(default=None, min_length=1)
    """The bearer token that `/dead-letters` requires; if it is unset, `/dead-letters` refuses every request."""
