"""Runs the command `sepal` in a process of its own."""

import subprocess
import sys
from typing import Any, Final

from tests.patience import longest_test
from tests.preloaded import start as preloaded
from tests.stack import ROOT, Gateway, clean_environment

SEPAL: Final = (sys.executable, "-m", "sepal_client")
"""The beginning of a command that imports all that it needs."""


def environment(gateway: Gateway | None = None, **settings: object) -> dict[str, str]:
    """Return the environment of a command for a gateway."""
    url = {} if gateway is None else {"url": f"http://127.0.0.1:{gateway.port}"}
    return clean_environment(**{**url, **settings}) | {"PYTHONPATH": str(ROOT / "client")}


def sepal(
    gateway: Gateway, *words: object, stdin: str = "", code: int = 0, **settings: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, without a terminal, and check its exit code."""
    done = subprocess.run(
        [*preloaded.client(), "sepal_client", *map(str, words)],
        env=environment(gateway, **settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=longest_test(),
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done
