"""Runs docker-compose.yml as a separate Compose project."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parent.parent.parent
_START_SECONDS: Final = 180


class ComposeFailed(Exception):
    """A docker command failed, or a container did not become healthy."""


class ComposeProject:
    """A context manager that runs the services of docker-compose.yml."""

    def __init__(self, *, n_workers: int, override_files: Sequence[Path] = (), environment: dict[str, str]) -> None:
        """Configure the project; `__enter__` starts it.

        Args:
            n_workers: the number of worker containers at the start.
            override_files: Compose files that override docker-compose.yml.
            environment: variables of .env.example; none is taken from this process's environment.
        """
        self.name = f"sepal-{uuid.uuid4().hex[:8]}"
        self._workers = n_workers
        self._files = [ROOT / "docker-compose.yml", *override_files]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
        self._environment = inherited | environment

    def __enter__(self) -> Self:
        try:
            self.compose("up", "--detach", "--build", "--scale", f"worker={self._workers}")
            self.wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--rmi", "local", "--remove-orphans", "--timeout", "10")

    def scale(self, n_workers: int) -> None:
        """Start or stop workers, and return once the stopped ones have ended."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={n_workers}")

    def compose(self, *arguments: str) -> str:
        """Run a docker-compose command, and return its output."""
        files = [word for path in self._files for word in ("--file", str(path))]
        return _run_command([*_compose_command(), "--project-name", self.name, *files, *arguments], self._environment)

    def containers(self, service: str = "") -> list[Any]:
        """Return `docker inspect` of the containers of a service, or of all services."""
        ids = self.compose("ps", "--all", "--quiet", *([service] if service else [])).split()
        return list(json.loads(_run_command(["docker", "inspect", *ids], self._environment)))

    def exit_statuses(self, service: str, start_time: float) -> list[int]:
        """Return the exit statuses of a service's containers that ended after `start_time`, including removed ones."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        period = [f"--since={start_time:.3f}", f"--until={time.time():.3f}"]
        command = [
            "docker",
            "events",
            *period,
            "--filter=event=die",
            *filters,
            "--format={{.Actor.Attributes.exitCode}}",
        ]
        return [int(line) for line in _run_command(command, self._environment).split()]

    def is_healthy(self) -> bool:
        """Whether the health check of every container passes."""
        return all(container["State"]["Health"]["Status"] == "healthy" for container in self.containers())

    def wait_until_healthy(self) -> None:
        """Wait until the health check of every container passes.

        Raises:
            ComposeFailed: a container is not healthy in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_healthy():
            if time.monotonic() > deadline:
                raise ComposeFailed(f"not healthy after {_START_SECONDS} s:\n{self.compose('ps')}")
            time.sleep(0.2)


@cache
def _compose_command() -> list[str]:
    """Return the command of Compose v2 if it is installed, else docker-compose 1.29's."""
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if done.returncode == 0 else ["docker-compose"]


def _run_command(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComposeFailed(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
