"""The settings of `make load`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoadSettings(BaseSettings):
    """The gateway under load, and the thresholds of the run; an unset threshold is not checked."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    load_host: str | None = None
    """The URL of the gateway under load; if unset, that of `make run` on this machine."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port that the gateway of `make run` listens on."""
    load_bulk_rows: int = Field(default=10_000, ge=1)
    """Rows of one bulk upload; at most the gateway's `SEPAL_MAX_ROWS`."""
    load_max_failures: float = Field(default=0, ge=0, le=1)
    """The highest share of failed requests."""
    load_min_rps: float | None = Field(default=None, gt=0)
    """The lowest rate of HTTP requests, per second."""
    load_max_median_ms: float | None = Field(default=None, gt=0)
    """The highest median time from submission to result, for users that wait."""
    load_max_tail_ms: float | None = Field(default=None, gt=0)
    """The highest 99th percentile of the same time."""

    @property
    def host(self) -> str:
        """The URL of the gateway under load."""
        return self.load_host or f"http://127.0.0.1:{self.api_port}"
