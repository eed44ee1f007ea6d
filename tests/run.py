"""Starts and stops everything, as `make run` does."""

import os
import re
import signal
import sys
from pathlib import Path

import httpx
import psutil

from tests.patience import patience
from tests.stack import ROOT, Gateway, Part, clean_environment, free_port, wait_for


class Run:
    """One `make run`, on ports and in a folder of its own."""

    def __init__(self, folder: Path, model_dir: Path | None, **settings: object) -> None:
        """Start it; without a model it runs in an empty folder, where it has to train one."""
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.flower_port = free_port()
        self.settings = {
            "api_port": free_port(),
            "redis_port": free_port(),
            "flower_port": self.flower_port,
            "worker_http_port": free_port(),
            "state_dir": folder / "state",
            **({"model_dir": model_dir} if model_dir else {}),
            **settings,
        }
        environment = clean_environment(**self.settings) | {"PYTHONPATH": str(ROOT)}
        # What the Makefile runs; make itself is left out, so that a signal has one addressee.
        command = [sys.executable, "-m", "local"]
        self.part = Part("run", command, environment, folder, cwd=ROOT if model_dir else folder)
        self.gateway = Gateway(self.part, int(str(self.settings["api_port"])))

    @property
    def log(self) -> str:
        return self.part.log.read_text()

    def log_of(self, part: str) -> Path:
        """The file that a part writes to."""
        return self.folder / "state" / f"supervisor-{self.settings['api_port']}" / f"{part}.log"

    def wait_until_ready(self) -> "Run":
        wait_for(lambda: "Ctrl-C stops everything" in self.log, f"the welcome in {self.part.log}")
        return self

    @property
    def flower_credentials(self) -> tuple[str, str]:
        """Those of the welcome, where none were given."""
        given = self.settings.get("flower_password")
        shown = re.search(r"Flower .*\(user (\S+), password (\S+)\)", self.log)
        assert given or shown, self.log
        return ("sepal", str(given)) if given or shown is None else (shown[1], shown[2])

    def flower(self) -> httpx.Client:
        """Signed in."""
        url = f"http://127.0.0.1:{self.flower_port}"
        return httpx.Client(base_url=url, auth=self.flower_credentials, timeout=patience())

    def child(self, name: str) -> psutil.Process:
        """The supervised part whose command line contains `name`."""
        children = self.part.process.children()
        return next(child for child in children if any(name in word for word in child.cmdline()))

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it has not ended yet, however the test did."""
        self.gateway.client.close()
        self.part.stop()

    def stop(self, number: signal.Signals) -> list[psutil.Process]:
        """Send the supervisor one signal and wait for its end; returns every process there was below it."""
        below = self.part.process.children(recursive=True)
        os.kill(self.part.popen.pid, number)
        self.part.wait()
        return below
