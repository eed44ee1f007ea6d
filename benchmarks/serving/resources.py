"""CPU and memory of all processes of a system."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

MARK = "BENCH_RUN"
"""The variable in the environment of every process that a run starts, which their children inherit."""


def find_processes(roots: Iterable[int], mark: str) -> list[psutil.Process]:
    """Return the live processes below `roots`, and detached ones whose environment has the mark."""
    found: dict[int, psutil.Process] = {}
    for pid in roots:
        try:
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
        except psutil.NoSuchProcess:
            pass  # it has ended; its children are found by the mark
    needle = f"{MARK}={mark}".encode()
    found |= {process.pid: process for process in psutil.process_iter() if needle in _read_environment(process)}
    return list(found.values())


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the user and system time of these processes and of their ended children."""
    return sum(_read_living(processes, lambda process: sum(process.cpu_times()[:4])))


def memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Return the proportional set size, which counts shared pages once."""
    return sum(_read_living(processes, lambda process: process.memory_full_info().pss)) / 2**20


def _read_living(processes: Iterable[psutil.Process], read: Callable[[psutil.Process], float]) -> list[float]:
    values = []
    for process in processes:
        try:
            values.append(read(process))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return values


def _read_environment(process: psutil.Process) -> list[bytes]:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or belongs to another user
        return []


@contextmanager
def suspended(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Suspend processes within the context."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
