"""An environment for each peer, filled from its hashed lock, once."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.question import ROOT
from benchmarks.serving.systems import System

FOLDER: Final = ROOT / ".bench"
_LOG_LINES: Final = 5


def interpreter(system: System) -> Path:
    """Make the system's environment where it is missing or not current; returns its Python.

    Raises:
        SystemFailed: pip could not fill it.
    """
    if system.lock is None:
        return Path(sys.executable)
    folder = FOLDER / system.name
    python, stamp = folder / "venv" / "bin" / "python", folder / "stamp"
    wanted = f"{sys.version} {hashlib.sha256(system.lock.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"{system.name}: making its environment from {system.lock.relative_to(ROOT)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")])
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(system.lock)]
    _run([str(python), "-m", "pip", *install])
    stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        end = "\n".join(done.stderr.strip().splitlines()[-_LOG_LINES:])
        raise SystemFailed(f"its environment could not be made:\n{end}")
