"""The load generator: wrk, whose connections each send the next request when they have received a response."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.serving.errors import CannotMeasure, SystemFailed

_WRK_SCRIPT: Final = Path(__file__).with_name("post.lua")
# wrk counts a slower response as an error without a latency.
_TIMEOUT_SECONDS: Final = 10
_GRACE_SECONDS: Final = 30


class LoadFigures(msgspec.Struct, frozen=True):
    """The figures of one run of wrk."""

    requests: int
    """All responses, whatever their status."""
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int]
    """Counts by kind: connect, read, write, timeout, status."""


def wrk_version() -> str:
    """Return the name and version of the load generator.

    Raises:
        CannotMeasure: it is not installed.
    """
    done = subprocess.run([_find_wrk(), "--version"], capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split()[:2])


def put_load(url: str, bodies: Sequence[str], connections: int, seconds: int) -> LoadFigures:
    """POST the bodies cyclically, over `connections` connections, for `seconds`.

    Raises:
        SystemFailed: wrk failed.
    """
    command = [_find_wrk(), "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    command += [f"--timeout={_TIMEOUT_SECONDS}s", f"--script={_WRK_SCRIPT}", url]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(bodies))
        file.flush()
        done = subprocess.run(
            command,
            env={**os.environ, "BENCH_BODIES": file.name},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _GRACE_SECONDS,
        )
    if done.returncode:
        raise SystemFailed(f"wrk ended with {done.returncode}: {done.stderr.strip()}")
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=LoadFigures)


def _find_wrk() -> str:
    path = shutil.which("wrk")
    if path is None:
        raise CannotMeasure("the load generator is missing: install wrk (`apt-get install wrk`, `brew install wrk`)")
    return path
