"""The settings of `make load`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoadSettings(BaseSettings):
    """Where the load goes, and what is expected of the answers; without a value, nothing is."""

    model_config = SettingsConfigDict(env_prefix="SEPAL_", frozen=True, use_attribute_docstrings=True)

    load_host: str | None = None
    """The gateway to load, as a URL; where it is unset, that of `make run` on this machine."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port that the gateway of `make run` listens on."""
    load_bulk_rows: int = Field(default=10_000, ge=1)
    """Rows of one bulk upload; no more than the gateway's `SEPAL_MAX_ROWS`."""
    load_max_failures: float = Field(default=0, ge=0, le=1)
    """The share of requests that may fail."""
    load_min_rps: float | None = Field(default=None, gt=0)
    """HTTP requests a second, at least."""
    load_max_median_ms: float | None = Field(default=None, gt=0)
    """The median time from submission to result of callers who wait, at most."""
    load_max_tail_ms: float | None = Field(default=None, gt=0)
    """The 99th percentile of the same time, at most."""

    @property
    def host(self) -> str:
        """The gateway to load, whoever started it."""
        return self.load_host or f"http://127.0.0.1:{self.api_port}"
