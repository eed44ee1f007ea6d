"""Settings that every process shares. The settings of each process extend them."""

from typing import Annotated, Literal

from pydantic import Field, Secret, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

FlowerPassword = Secret[Annotated[str, StringConstraints(pattern="^[!-~]+$")]]
"""Printable ASCII: Flower cannot compare other characters."""


class BrokerSettings(BaseSettings):
    """Settings of every process."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """URL of the broker and the store, a Redis 7 or Valkey server: `redis://[:password@]host:port/db`."""
    object_store_url: str = ".sepal/objects"
    """Where the rows and results of bulk predictions are kept: a folder, as a path or `file:///folder`, or
    `s3://bucket/prefix`, `gs://…` or `az://…`, with credentials and endpoints in the variables of that service
    (`AWS_…` for S3). Every gateway and worker must reach the same one."""
    log_json: bool = False
    """Write log lines as JSON, for containers, instead of text for a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """Where traces are sent, `http://host:4318`; unset, none are sent. OpenTelemetry's `OTEL_…` variables configure the
    rest, such as sampling."""
    result_ttl_seconds: int = Field(default=3600, gt=0)
    """How long a final prediction can still be fetched."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts at a batch before it is split, and at a batch of one prediction before it becomes a dead letter."""


class FlowerSettings(BaseSettings):
    """Credentials for Flower."""

    model_config = SettingsConfigDict(
        env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    flower_user: str = Field(default="sepal", pattern="^[!-9;-~]+$")
    """User name for Flower: printable ASCII without a colon."""
    flower_password: FlowerPassword
    """Password for Flower: printable ASCII. Flower does not start without one."""
