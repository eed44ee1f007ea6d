"""The settings of `make run`."""

import secrets
from pathlib import Path
from typing import Final

from pydantic import Field, Secret, SecretStr

from shared.settings import FlowerPassword, FlowerSettings

SOCKET_FILE: Final = "broker.sock"
_LONGEST_SOCKET_PATH: Final = 107  # bytes; sun_path in unix(7)
_PASSWORD_BYTES: Final = 12


class LocalSettings(FlowerSettings):
    """What is started, and where; the parts read the same environment for the rest."""

    redis_url: SecretStr | None = None
    """A broker that runs already; where it is unset, `make run` starts one of its own."""
    redis_port: int = Field(default=6379, ge=1, le=65535)
    """The port of the broker that `make run` starts."""
    api_host: str = "127.0.0.1"
    """The address that the gateway listens on."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port that the gateway listens on."""
    flower_port: int = Field(default=5555, ge=1, le=65535)
    """The port that Flower listens on, on 127.0.0.1."""
    flower_password: FlowerPassword = Field(default_factory=lambda: Secret(secrets.token_urlsafe(_PASSWORD_BYTES)))
    """The password to sign in to Flower with; where it is unset, `make run` draws one at each start and prints it."""
    worker_http_port: int = Field(default=9540, ge=1, le=65535)
    """The port of the worker's metrics and probes."""
    model_dir: Path = Path("models/iris/1")
    """The folder to serve; where it is the default one and missing, `make run` trains it."""
    state_dir: Path = Path(".sepal")
    """Where the broker's append-only file, the supervisor's own files and the logs are kept."""

    @property
    def environment(self) -> dict[str, str]:
        """What the parts must agree on, settled here, once."""
        return {
            "SEPAL_REDIS_URL": self.near_broker_url,
            "CELERY_BROKER_URL": self.broker_url,
            "SEPAL_WORKER_HTTP_PORT": str(self.worker_http_port),
            "SEPAL_FLOWER_PASSWORD": self.flower_password.get_secret_value(),
        }

    @property
    def supervisor_dir(self) -> Path:
        """Where the supervisor keeps its files, and the logs of what it supervises; by port."""
        return self.state_dir / f"supervisor-{self.api_port}"

    @property
    def broker_dir(self) -> Path:
        """Where the broker that `make run` starts keeps its files; by port, as the supervisor's own are."""
        return self.state_dir / f"broker-{self.redis_port}"

    @property
    def broker_url(self) -> str:
        """Of the broker in use, whoever started it."""
        return self.redis_url.get_secret_value() if self.redis_url else f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def near_broker_url(self) -> str:
        """The same, by the shortest way there is: a round trip over a Unix socket costs half of one over TCP."""
        socket = (self.broker_dir / SOCKET_FILE).absolute()
        if self.redis_url or len(str(socket)) > _LONGEST_SOCKET_PATH:
            return self.broker_url
        return f"unix://{socket}?db=0"
