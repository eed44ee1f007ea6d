"""`python -m local`: checks the ports, trains a model if there is none, and becomes supervisord."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from local.errors import CannotStart
from local.logs import log_excerpt, log_path, rotate_logs
from local.settings import LocalSettings
from local.supervision import format_configuration, list_programs
from shared.card import CARD_FILE, read_card
from shared.distributions import find_differing_distributions, format_pip_requirements, pip_install_command
from shared.errors import ArtifactError

_CONFIGURATION_FILE: Final = "supervisord.conf"


def main() -> None:
    """Prepare `make run`, then replace this process with the supervisor."""
    settings = _read_settings()
    try:
        _check_ports(settings)
        settings.supervisor_dir.mkdir(parents=True, exist_ok=True)
        rotate_logs(settings.supervisor_dir)
        model_dir = _ensure_model(settings)
        _ensure_distributions(model_dir, settings)
        path = _write_configuration(settings)
    except CannotStart as error:
        sys.exit(f"sepal: {error}")
    sys.stdout.flush()
    # Several processes open stdout by name. If it is a regular file, they would overwrite each other's output without
    # append mode.
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)
    os.execve(
        sys.executable,
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)],
        os.environ | settings.environment | {"SEPAL_MODEL_DIR": str(model_dir)},
    )


def _read_settings() -> LocalSettings:
    try:
        return LocalSettings()
    except ValidationError as error:
        faults = [f"SEPAL_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
        sys.exit(f"sepal: a setting is invalid: {'; '.join(faults)}")


def _check_ports(settings: LocalSettings) -> None:
    wanted = {
        "SEPAL_API_PORT": (settings.api_host, settings.api_port),
        "SEPAL_FLOWER_PORT": ("127.0.0.1", settings.flower_port),
        "SEPAL_WORKER_HTTP_PORT": ("127.0.0.1", settings.worker_http_port),
    }
    if not settings.single_worker:
        wanted["SEPAL_BULK_WORKER_HTTP_PORT"] = ("127.0.0.1", settings.bulk_worker_http_port)
    if not settings.redis_url:
        wanted["SEPAL_REDIS_PORT"] = ("127.0.0.1", settings.redis_port)
    for variable, address in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise CannotStart(
                    f"port {address[1]} cannot be used ({error.strerror}): set {variable} to a free port"
                ) from error


def _ensure_model(settings: LocalSettings) -> Path:
    """Return the folder of the model to serve; train it if it is a recipe and missing."""
    if (saved := settings.saved_model) is not None:
        return saved
    if settings.model_dir is not None:
        raise CannotStart(
            f"SEPAL_MODEL_DIR is {settings.model_dir}, which contains no {CARD_FILE}: train a model first"
        )
    # In a separate process, because this one must not import the training libraries.
    path = log_path(settings.supervisor_dir, "training")
    with path.open("wb") as log:
        training = subprocess.run(
            [sys.executable, "-m", "training", settings.model], check=False, stdout=log, stderr=log
        )
    trained = settings.saved_model
    if training.returncode or trained is None:
        held = ", ".join(settings.saved_models) or "no model"
        raise CannotStart(
            f"there is no model models/{settings.model}, and training it failed. Last output:\n{log_excerpt(path)}\n"
            f"sepal: models/ contains {held}"
        )
    return trained


def _ensure_distributions(model_dir: Path, settings: LocalSettings) -> None:
    """Install the distributions that the model needs, or print the command for it; without them, the worker exits."""
    try:
        differing = find_differing_distributions(read_card(model_dir))
    except ArtifactError:
        return  # the worker reports the error
    if not differing:
        return
    needed = format_pip_requirements(differing).split()
    command = [sys.executable, "-m", "pip", "install", *needed]
    if not settings.install:
        print(f"sepal: the model needs distributions that are not installed: {pip_install_command(*needed)}")
        print("sepal: `make run INSTALL=1` with the same MODEL runs this command first")
    elif subprocess.run(command, check=False).returncode:
        raise CannotStart(f"cannot install the distributions that the model needs: {pip_install_command(*needed)}")


def _write_configuration(settings: LocalSettings) -> Path:
    path = settings.supervisor_dir / _CONFIGURATION_FILE
    path.write_text(format_configuration(list_programs(settings), settings.supervisor_dir))
    return path


if __name__ == "__main__":
    main()
