"""Settings that every process shares; each process adds its own."""

from typing import Annotated, Literal

from pydantic import Field, Secret, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

FlowerPassword = Secret[Annotated[str, StringConstraints(pattern="^[!-~]+$")]]
"""Printable ASCII: Flower cannot compare anything else."""


class BrokerSettings(BaseSettings):
    """Where the broker and the store are."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """The broker and the store: a Redis 7 or Valkey server, `redis://[:password@]host:port/db`."""
    log_json: bool = False
    """Whether log lines are JSON, as containers want them, instead of text for a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """Where traces are sent, `http://host:4318`; unset, there are none. OpenTelemetry's own variables (`OTEL_…`) say
    how, such as how many."""
    result_ttl_seconds: int = Field(default=3600, gt=0)
    """How long a final prediction can still be fetched."""
    max_attempts: int = Field(default=3, ge=1)
    """Tries at a batch before it is split to find the culprit, and at the culprit before it becomes a dead letter."""


class FlowerSettings(BaseSettings):
    """Who may look at Flower."""

    model_config = SettingsConfigDict(
        env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    flower_user: str = Field(default="sepal", pattern="^[!-9;-~]+$")
    """The name to sign in to Flower with: printable ASCII without a colon."""
    flower_password: FlowerPassword
    """The password to sign in to Flower with, printable ASCII; without one Flower does not start."""
