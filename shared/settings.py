"""Settings that every process shares; the settings class of each process extends them."""

from typing import Annotated, Literal

from pydantic import Field, Secret, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

FlowerPassword = Secret[Annotated[str, StringConstraints(pattern="^[!-~]+$")]]
"""Printable ASCII, because Flower cannot compare other characters."""


class BrokerSettings(BaseSettings):
    """Settings of every process."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """URL of the broker and the store, a Redis 7 or Valkey server: `redis://[:password@]host:port/db`."""
    object_store_url: str = ".sepal/objects"
    """Object store for the rows and results of bulk predictions: a folder, as a path or `file:///folder`, or
    `s3://bucket/prefix`, `gs://…` or `az://…`, with credentials and endpoints in the variables of that service
    (`AWS_…` for S3). Every gateway and worker must use the same object store."""
    log_json: bool = False
    """Write log lines as JSON, for containers, instead of text for a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """URL of the OTLP receiver of traces, such as `http://host:4318`; if it is not set, no traces are sent.
    OpenTelemetry's `OTEL_…` variables configure the rest, such as sampling."""
    result_ttl_seconds: int = Field(default=3600, gt=0)
    """How long a final prediction is kept, in seconds."""
    max_attempts: int = Field(default=3, ge=1)
    """Number of attempts after which a batch is split, or a batch of one prediction becomes a dead letter."""


class FlowerSettings(BaseSettings):
    """Credentials for Flower."""

    model_config = SettingsConfigDict(
        env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    flower_user: str = Field(default="sepal", pattern="^[!-9;-~]+$")
    """User name for Flower: printable ASCII without a colon."""
    flower_password: FlowerPassword
    """Password for Flower, required: printable ASCII."""
