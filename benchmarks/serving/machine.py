"""Describes the machine of a run by its kind, without host name or paths."""

import os
import platform
import socket
import subprocess
from pathlib import Path

import psutil

from benchmarks.serving.workload import ROOT


def describe() -> dict[str, str]:
    """Return cores, processor, memory, kernel and Python version."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor_name(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def checked_out_commit() -> str:
    """Return the checked-out commit, with `-dirty` if files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def conceal_identity(text: str) -> str:
    """Replace the repository's path, the home folder and the host name in a text, because results are published."""
    for private, public in ((str(ROOT), "."), (str(Path.home()), "~"), (socket.gethostname(), "localhost")):
        text = text.replace(private, public)
    return text


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
