"""The gateway's settings."""

from pydantic import Field, SecretStr

from shared.settings import BrokerSettings


class GatewaySettings(BrokerSettings):
    """What a gateway can be told."""

    api_host: str = "127.0.0.1"
    """The address to listen on; containers use 0.0.0.0."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port to listen on."""
    api_processes: int = Field(default=1, ge=1)
    """Gateway processes behind that port."""
    wait_seconds: float = Field(default=10, ge=0)
    """How long `POST /predict` waits for the answer where the request states no preference."""
    max_wait_seconds: float = Field(default=60, ge=0)
    """The longest wait that `Prefer: wait=N` is granted."""
    answered_ttl_seconds: int = Field(default=60, gt=0)
    """How long a result is kept that a waiting client has already been given."""
    max_rows: int = Field(default=10_000, ge=1)
    """Rows in one prediction."""
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    """Size of a request's body."""
    max_backlog_rows: int = Field(default=1_000_000, ge=1)
    """Rows of the interactive queue that were accepted and are not yet final; beyond it new predictions are refused
    with 503."""
    max_bulk_backlog_rows: int = Field(default=1_000_000, ge=1)
    """The same of the bulk queue, which takes predictions larger than a batch: when it is full, a person's row is
    accepted still."""
    drain_seconds: float = Field(default=3, ge=0)
    """How long a gateway that was told to stop still waits for answers before it hands out 202."""
    stalled_after_seconds: float = Field(default=90, gt=0)
    """After this long without a finished batch, while rows wait and workers live, the gateway is not ready: longer
    than `SEPAL_BATCH_SECONDS`."""
    dead_letter_ttl_seconds: int = Field(default=7 * 24 * 3600, gt=0)
    """How long a dead letter is kept."""
    operator_token: SecretStr | None = Field(default=None, min_length=1)
    """Opens `/dead-letters` to whoever sends it as a bearer token; unset, nobody can."""
