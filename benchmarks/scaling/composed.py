"""A running project of docker-compose, on ports and with volumes of its own."""

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
    """A command of docker's ended with an error, or what it started did not become healthy."""


class Composed:
    """The system of docker-compose.yml, from `up` to `down`."""

    def __init__(self, *, workers: int, files: Sequence[Path] = (), environment: dict[str, str]) -> None:
        """Nothing is started yet.

        Args:
            workers: how many there are at first.
            files: read after docker-compose.yml, to change it.
            environment: the variables that .env.example lists; none is taken from this process's own.
        """
        self.name = f"sepal-{uuid.uuid4().hex[:8]}"
        self._workers = workers
        self._files = [ROOT / "docker-compose.yml", *files]
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
        self._environment = mine | environment

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

    def scale(self, workers: int) -> None:
        """Start or stop workers; returns once those that were told to stop have ended."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={workers}")

    def compose(self, *arguments: str) -> str:
        """Run a command of docker-compose; returns what it prints."""
        files = [word for path in self._files for word in ("--file", str(path))]
        return _run([*_command(), "--project-name", self.name, *files, *arguments], self._environment)

    def containers(self, service: str = "") -> list[Any]:
        """What `docker inspect` says of a service's containers, or of all."""
        ids = self.compose("ps", "--all", "--quiet", *([service] if service else [])).split()
        return list(json.loads(_run(["docker", "inspect", *ids], self._environment)))

    def ended(self, service: str, since: float) -> list[int]:
        """The exit statuses of a service's containers that have ended, some of which are gone since."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        period = [f"--since={since:.3f}", f"--until={time.time():.3f}"]
        command = [
            "docker",
            "events",
            *period,
            "--filter=event=die",
            *filters,
            "--format={{.Actor.Attributes.exitCode}}",
        ]
        return [int(line) for line in _run(command, self._environment).split()]

    def is_healthy(self) -> bool:
        """Whether every container's own check says so."""
        return all(container["State"]["Health"]["Status"] == "healthy" for container in self.containers())

    def wait_until_healthy(self) -> None:
        """Wait for every container's check.

        Raises:
            ComposeFailed: it took too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_healthy():
            if time.monotonic() > deadline:
                raise ComposeFailed(f"not healthy after {_START_SECONDS} s:\n{self.compose('ps')}")
            time.sleep(0.2)


@cache
def _command() -> list[str]:
    """Compose v2 where it is installed, docker-compose 1.29 otherwise."""
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if done.returncode == 0 else ["docker-compose"]


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComposeFailed(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
