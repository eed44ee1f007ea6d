"""Creates a virtual environment for each peer, from its lock file."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.systems import System
from benchmarks.serving.workload import ROOT

FOLDER: Final = ROOT / ".bench"
_LOG_LINES: Final = 5


def ensure_interpreter(system: System) -> Path:
    """Create the system's environment if it is missing or outdated, and return its Python.

    Raises:
        SystemFailed: the environment could not be created.
    """
    if system.lock is None:
        return Path(sys.executable)
    folder = FOLDER / system.lock.parent.name
    python, stamp = folder / "venv" / "bin" / "python", folder / "stamp"
    wanted = f"{sys.version} {hashlib.sha256(system.lock.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"{system.name}: creating its environment from {system.lock.relative_to(ROOT)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    _run_command([sys.executable, "-m", "venv", "--clear", str(folder / "venv")])
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(system.lock)]
    _run_command([str(python), "-m", "pip", *install])
    stamp.write_text(wanted)
    return python


def _run_command(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        end = "\n".join(done.stderr.strip().splitlines()[-_LOG_LINES:])
        raise SystemFailed(f"its environment could not be created:\n{end}")
