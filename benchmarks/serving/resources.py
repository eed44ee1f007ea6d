"""What a system's processes have used, all of them together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

MARK = "BENCH_RUN"
"""In the environment of every process that a run starts, and so of every one that those start."""


def processes(roots: Iterable[int], mark: str) -> list[psutil.Process]:
    """The living processes below these, and those that were detached from them but carry the mark."""
    found: dict[int, psutil.Process] = {}
    for pid in roots:
        try:
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
        except psutil.NoSuchProcess:
            pass  # it has ended; what it left behind carries the mark
    needle = f"{MARK}={mark}".encode()
    found |= {process.pid: process for process in psutil.process_iter() if needle in _environment(process)}
    return list(found.values())


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of these processes and of their children that have ended."""
    return sum(_of_living(processes, lambda process: sum(process.cpu_times()[:4])))


def memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Proportional set size: pages that several processes share are counted once."""
    return sum(_of_living(processes, lambda process: process.memory_full_info().pss)) / 2**20


def _of_living(processes: Iterable[psutil.Process], read: Callable[[psutil.Process], float]) -> list[float]:
    values = []
    for process in processes:
        try:
            values.append(read(process))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return values


def _environment(process: psutil.Process) -> list[bytes]:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or belongs to somebody else
        return []


@contextmanager
def stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Have processes stand still."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
