"""`python -m local`: check the ports, train if there is nothing to serve, hand over to supervisord."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from local.errors import CannotStart
from local.logs import begin, log_excerpt, log_file
from local.settings import LocalSettings
from local.supervision import configuration, parts
from shared.card import CARD_FILE

_CONFIGURATION_FILE: Final = "supervisord.conf"


def main() -> None:
    """Become the supervisor of a local Sepal."""
    settings = LocalSettings()
    try:
        _check_ports(settings)
        settings.supervisor_dir.mkdir(parents=True, exist_ok=True)
        begin(settings.supervisor_dir)
        _ensure_model(settings)
        path = _write_configuration(settings)
    except CannotStart as error:
        sys.exit(f"sepal: {error}")
    sys.stdout.flush()
    # What is for the person reaches this file through descriptors of their own: without append mode they would write
    # over one another where it is a regular file.
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)
    os.execve(
        sys.executable,
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)],
        os.environ | settings.environment,
    )


def _check_ports(settings: LocalSettings) -> None:
    wanted = {
        "SEPAL_API_PORT": (settings.api_host, settings.api_port),
        "SEPAL_FLOWER_PORT": ("127.0.0.1", settings.flower_port),
        "SEPAL_WORKER_HTTP_PORT": ("127.0.0.1", settings.worker_http_port),
    }
    if not settings.redis_url:
        wanted["SEPAL_REDIS_PORT"] = ("127.0.0.1", settings.redis_port)
    for variable, address in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise CannotStart(
                    f"port {address[1]} cannot be used ({error.strerror}): set {variable} to a free one"
                ) from error


def _ensure_model(settings: LocalSettings) -> None:
    model_dir = settings.model_dir
    if (model_dir / CARD_FILE).exists():
        return
    if model_dir != LocalSettings.model_fields["model_dir"].default:
        raise CannotStart(f"SEPAL_MODEL_DIR is {model_dir}, and there is no {CARD_FILE} in it: train a model first")
    # A process of its own: training imports what nothing that serves may import.
    path = log_file(settings.supervisor_dir, "training")
    with path.open("wb") as log:
        training = subprocess.run([sys.executable, "-m", "training"], check=False, stdout=log, stderr=log)
    if training.returncode:
        raise CannotStart(f"training failed. It said:\n{log_excerpt(path)}")


def _write_configuration(settings: LocalSettings) -> Path:
    path = settings.supervisor_dir / _CONFIGURATION_FILE
    path.write_text(configuration(parts(settings), settings.supervisor_dir))
    return path


if __name__ == "__main__":
    main()
