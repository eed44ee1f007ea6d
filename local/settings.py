"""The settings of `make run`."""

import re
import secrets
from pathlib import Path
from typing import Final

from pydantic import Field, Secret, SecretStr

from shared.card import CARD_FILE, MODEL_NAME_PATTERN, MODEL_VERSION_PATTERN
from shared.settings import FlowerPassword, FlowerSettings

SOCKET_FILE: Final = "broker.sock"
_MODELS_DIR: Final = Path("models")
_LONGEST_SOCKET_PATH: Final = 107  # bytes; sun_path in unix(7)
_PASSWORD_BYTES: Final = 12


class LocalSettings(FlowerSettings):
    """The programs that `make run` starts, their ports and folders; the programs read further settings themselves."""

    redis_url: SecretStr | None = None
    """The URL of a running broker; if unset, `make run` starts a broker."""
    object_store_url: str | None = None
    """The object store for the rows and results of bulk predictions; if unset, a folder in `SEPAL_STATE_DIR`."""
    redis_port: int = Field(default=6379, ge=1, le=65535)
    """The port of the broker that `make run` starts."""
    api_host: str = "127.0.0.1"
    """The address that the gateway listens on."""
    api_port: int = Field(default=8000, ge=1, le=65535)
    """The port that the gateway listens on."""
    flower_port: int = Field(default=5555, ge=1, le=65535)
    """The port that Flower listens on, on 127.0.0.1."""
    flower_password: FlowerPassword = Field(default_factory=lambda: Secret(secrets.token_urlsafe(_PASSWORD_BYTES)))
    """The password for Flower; if unset, `make run` generates one at each start and prints it."""
    single_worker: bool = False
    """Start one worker for both queues, which takes less memory, but a running bulk batch delays interactive
    predictions by about 200 ms. Otherwise a second worker, with a lower CPU priority, serves the bulk queue."""
    worker_http_port: int = Field(default=9540, ge=1, le=65535)
    """The port of the worker's metrics and probes."""
    bulk_worker_http_port: int = Field(default=9541, ge=1, le=65535)
    """The port of the bulk worker's metrics and probes."""
    model: str = Field(default="iris", pattern=rf"{MODEL_NAME_PATTERN[:-1]}(/{MODEL_VERSION_PATTERN[1:-1]})?$")
    """The model to serve, set by `make run MODEL=…`: `name/version` in `models/`; or `name`, for its highest version
    there (10 is higher than 9) or, if there is none, the recipe to train."""
    model_dir: Path | None = None
    """The folder of the model to serve, instead of one in `models/`."""
    install: bool = False
    """Install the distributions that the model needs and that are not installed; set by `make run INSTALL=1`."""
    state_dir: Path = Path(".sepal")
    """The folder for the broker's append-only file, bulk predictions, the supervisor's files and the logs."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables on which all programs must agree."""
        return {
            "SEPAL_REDIS_URL": self.fast_broker_url,
            "CELERY_BROKER_URL": self.broker_url,
            "SEPAL_OBJECT_STORE_URL": self.object_store_url or str(self.objects_dir.absolute()),
            "SEPAL_FLOWER_PASSWORD": self.flower_password.get_secret_value(),
        }

    @property
    def saved_model(self) -> Path | None:
        """The folder of the model to serve; None if there is no such model yet."""
        if self.model_dir is not None:
            return self.model_dir if (self.model_dir / CARD_FILE).exists() else None
        name, _, version = self.model.partition("/")
        cards = (_MODELS_DIR / name).glob(f"{version or '[!.]*'}/{CARD_FILE}")
        return max((card.parent for card in cards), key=lambda folder: _natural_sort_key(folder.name), default=None)

    @property
    def saved_models(self) -> list[str]:
        """The models in `models/`, each as `name/version`."""
        folders = [card.parent for card in _MODELS_DIR.glob(f"[!.]*/[!.]*/{CARD_FILE}")]
        found = [folder.relative_to(_MODELS_DIR).as_posix() for folder in folders]
        return sorted(found, key=_natural_sort_key)

    @property
    def supervisor_dir(self) -> Path:
        """The folder of the supervisor's files and of all logs; its name contains the gateway's port."""
        return self.state_dir / f"supervisor-{self.api_port}"

    @property
    def broker_dir(self) -> Path:
        """The folder of the broker that `make run` starts; its name contains the broker's port."""
        return self.state_dir / f"broker-{self.redis_port}"

    @property
    def objects_dir(self) -> Path:
        """The folder of the object store; each broker has its own, because its records refer to the objects."""
        return self.state_dir / ("objects" if self.redis_url else f"objects-{self.redis_port}")

    @property
    def broker_url(self) -> str:
        """The URL of the broker: `SEPAL_REDIS_URL`, or that of the broker that `make run` starts."""
        return self.redis_url.get_secret_value() if self.redis_url else f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def fast_broker_url(self) -> str:
        """The Unix socket of the broker if there is one, because a round trip costs half of one over TCP."""
        socket = (self.broker_dir / SOCKET_FILE).absolute()
        if self.redis_url or len(str(socket)) > _LONGEST_SOCKET_PATH:
            return self.broker_url
        return f"unix://{socket}?db=0"


def _natural_sort_key(version: str) -> list[str | int]:
    """Return a sort key by which 10 comes after 9: strings and numbers alternate in it, beginning with a string."""
    parts = re.split(r"([0-9]+)", version)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]
