"""Starts and stops `make run` for tests."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.patience import patience
from tests.stack import ROOT, Gateway, Part, clean_environment, free_port, listens, wait_for

_LOCAL: Final = (sys.executable, "-m", "local")
"""The command of the Makefile, without make, so that a signal reaches one process only."""


class Run:
    """A `make run` on free ports and in a separate folder."""

    def __init__(
        self, folder: Path, model_dir: Path | None, command: Sequence[str] = _LOCAL, **settings: object
    ) -> None:
        """Start it; without `model_dir` it runs in an empty folder and trains a model."""
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.flower_port = free_port()
        self.settings = {
            "api_port": free_port(),
            "redis_port": free_port(),
            "flower_port": self.flower_port,
            "worker_http_port": free_port(),
            "bulk_worker_http_port": free_port(),
            "state_dir": folder / "state",
            **({"model_dir": model_dir} if model_dir else {}),
            **settings,
        }
        environment = clean_environment(**self.settings) | {"PYTHONPATH": str(ROOT)}
        self.part = Part("run", [*command], environment, folder, cwd=ROOT if model_dir else folder)
        self.gateway = Gateway(self.part, int(str(self.settings["api_port"])))

    @property
    def log(self) -> str:
        return self.part.log.read_text()

    def log_of(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.folder / "state" / f"supervisor-{self.settings['api_port']}" / f"{program}.log"

    def wait_until_ready(self) -> "Run":
        wait_for(lambda: "Ctrl-C stops everything" in self.log, f"the welcome in {self.part.log}")
        return self

    @property
    def flower_credentials(self) -> tuple[str, str]:
        """User and password: the given password, or else the one in the welcome message."""
        given = self.settings.get("flower_password")
        shown = re.search(r"Flower .*\(user (\S+), password (\S+)\)", self.log)
        assert given or shown, self.log
        return ("sepal", str(given)) if given or shown is None else (shown[1], shown[2])

    def flower(self) -> httpx.Client:
        """Return a client that is signed in to Flower, once it listens."""
        wait_for(lambda: listens(self.flower_port), "Flower")
        url = f"http://127.0.0.1:{self.flower_port}"
        return httpx.Client(base_url=url, auth=self.flower_credentials, timeout=patience())

    def child(self, program: str) -> psutil.Process:
        """Return the process of a supervised program."""
        started = re.findall(rf"spawned: '{program}' with pid (\d+)", self.log_of("supervisor").read_text())
        return psutil.Process(int(started[-1]))

    def command_lines(self) -> list[str]:
        """Return the command line of every process below the supervisor."""
        lines = []
        for process in self.part.process.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                lines.append(" ".join(process.cmdline()))
        return lines

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it if it still runs."""
        self.gateway.client.close()
        self.part.stop()

    def stop(self, number: signal.Signals) -> list[psutil.Process]:
        """Send the supervisor one signal and wait for its end; return the processes that were below it."""
        below = self.part.process.children(recursive=True)
        os.kill(self.part.popen.pid, number)
        self.part.wait()
        return below
