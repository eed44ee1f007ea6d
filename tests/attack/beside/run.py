"""`python -m tests.attack beside`: measures an honest client alone, and then during each attack."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from api.settings import ConnectionSettings
from tests.attack.beside.attacks import ATTACKS, Attack
from tests.attack.beside.honest import HonestClient, Measured, shown
from tests.served_models import save_model
from tests.stack import ROOT, Gateway, running_stack

LARGEST_RATIO: Final = 3.0
"""The greatest ratio between the 99th percentile during an attack and that of the client alone."""
LARGEST_MS: Final = 250.0
IDLE_SECONDS: Final = 15.0
"""`SEPAL_IDLE_SECONDS` of the gateway: the default would make this wait long for the end of idle connections."""
_WARM_UP_SECONDS: Final = 3.0
_BOUND_MARGIN_SECONDS: Final = 5.0
_HEADINGS: Final = ("", "requests", "lost", "p50 ms", "p99 ms", "max ms", "ratio", "held after", "longest s", "")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--seconds", type=float, default=60, help="how long each attack goes on")
    parser.add_argument(
        "--only", default="", dest="attacks", help=f"names of attacks, with commas: {', '.join(ATTACKS)}"
    )


def run_beside(arguments: argparse.Namespace) -> int:
    """Measure the client during each attack, and print a line for each; return the exit code."""
    names = [name for name in arguments.attacks.split(",") if name] or list(ATTACKS)
    with tempfile.TemporaryDirectory(prefix="sepal-beside-") as folder:
        model_dir = save_model(Path(folder) / "models", "iris")
        with running_stack(Path(folder), model_dir, idle_seconds=IDLE_SECONDS) as (_, gateway):
            gateway.client.close()
            return _measure_all(gateway, names, arguments.seconds)


def _measure_all(gateway: Gateway, names: Sequence[str], seconds: float) -> int:
    _measure(gateway, _WARM_UP_SECONDS)
    alone = _measure(gateway, seconds)
    usual = alone.percentile(0.99)
    _print_line(*_HEADINGS)
    _print_line("alone", *shown(alone, usual))
    failures = 0
    for name in names:
        failures += _measure_beside(gateway, name, seconds, usual)
    again = _measure(gateway, seconds)
    _print_line("alone again", *shown(again, usual))
    print(f"{len(names)} attacks, {failures} failures; resident memory of the gateway: {_memory_mib(gateway):.0f} MB")
    return 1 if failures else 0


def _measure_beside(gateway: Gateway, name: str, seconds: float, usual: float) -> int:
    """Measure the client during one attack; return 1 if a bar is missed."""
    attack = ATTACKS[name]
    with _attacking(name, gateway.port) as attacker:
        measured = _measure(gateway, seconds)
        _send_command(attacker)  # to open no more connections
        held = _wait_until_released(gateway, _bound(attack))
        _send_command(attacker)
        assert attacker.stdout is not None, "a pipe"
        report: dict[str, Any] = json.loads(attacker.stdout.readline())
    faults = _find_faults(measured, usual, held)
    notes = "; ".join(faults) or "met"
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(report["statuses"].items()))
    _print_line(name, *shown(measured, usual), str(held), str(report["longest"]), notes)
    print(f"    {attack.what}: {report['opened']} connections; responses: {statuses or 'none'}")
    if measured.problems:
        print(f"    lost: {', '.join(sorted(set(measured.problems)))}")
    return 1 if faults else 0


def _find_faults(measured: Measured, usual: float, held: int) -> list[str]:
    p99, longest = measured.percentile(0.99), measured.percentile(1)
    faults = [f"MISSED: {measured.lost} lost"] if measured.lost else []
    if p99 > LARGEST_RATIO * usual:
        faults.append(f"MISSED: p99 is {p99 / usual:.1f} times the usual")
    if longest > LARGEST_MS:
        faults.append(f"MISSED: one took {longest:.0f} ms")
    if held:
        faults.append(f"MISSED: {held} connections are held")
    return faults


def _bound(attack: Attack) -> float:
    """Return the seconds in which the gateway must end the connections of an attack."""
    settings = ConnectionSettings()
    held = max(settings.head_seconds, settings.stall_seconds)
    return (held if attack.holds else IDLE_SECONDS) + _BOUND_MARGIN_SECONDS


def _wait_until_released(gateway: Gateway, seconds: float) -> int:
    """Wait until the gateway has no open connection; return the number after so many seconds."""
    deadline = time.monotonic() + seconds
    while (held := _connections(gateway)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


def _connections(gateway: Gateway) -> int:
    found = gateway.part.process.net_connections("tcp")
    return sum(each.laddr.port == gateway.port and each.status != psutil.CONN_LISTEN for each in found)


def _memory_mib(gateway: Gateway) -> float:
    return float(gateway.part.process.memory_info().rss / 1e6)


def _measure(gateway: Gateway, seconds: float) -> Measured:
    return uvloop.run(HonestClient(gateway.port).run(seconds))


@contextmanager
def _attacking(name: str, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.attack.beside.attacker", name, str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attacker:
        try:
            time.sleep(1)  # until its first connections are open
            yield attacker
        finally:
            attacker.kill()


def _send_command(attacker: "subprocess.Popen[str]") -> None:
    assert attacker.stdin is not None, "a pipe"
    attacker.stdin.write("\n")
    attacker.stdin.flush()


def _print_line(*cells: str) -> None:
    widths = (18, 9, 5, 7, 7, 7, 6, 11, 10, 0)
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip(), flush=True)
