"""The context of a fault: the site, the client's ledger, and bursts in addition to the steady traffic."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from tests.chaos.client import Burst
from tests.chaos.judge import Injection
from tests.chaos.ledger import Entry, Ledger
from tests.chaos.site import Site
from tests.chaos.traffic import MAX_ROWS_PER_SUBMISSION, Submission, Trouble
from tests.patience import longest_test
from tests.stack import ROOT, clean_environment, wait_for

N_OTHERS: Final = 8  # predictions that are sent with a troublesome one, so that some share its batch


class Experiment:
    """All injections of one fault."""

    def __init__(self, site: Site, ledger: Ledger, client: subprocess.Popen[bytes]) -> None:
        self.site = site
        self.ledger = ledger
        self.rng = Random(2)
        self.injection = 0
        self._client = client

    def send(self, trouble: Trouble, argument: float = 0, gateway: int = 0) -> Entry:
        """Send a troublesome prediction and eight others; return its ledger entry, once it is being sent.

        Every second one of the others waits for its result; the troublesome one does not.
        """
        first = Submission(1, "respond-async", trouble, argument, self.injection)
        others = [
            Submission(1, "respond-async" if index % 2 else "", injection=self.injection) for index in range(N_OTHERS)
        ]
        assert self._client.stdin is not None
        self._client.stdin.write(msgspec.json.encode(Burst([first, *others], gateway)) + b"\n")
        self._client.stdin.flush()
        return wait_for(lambda: self._find(trouble), "the burst in the ledger")

    def pid_of(self, entry: Entry) -> int:
        """Wait until a row that reports its process is in the pipeline; return the pid of that process."""
        path = self.site.pid_dir / str(entry.sent.number * MAX_ROWS_PER_SUBMISSION)
        wait_for(path.exists, f"the pid in {path.name}")
        return int(path.read_text())

    def start(self) -> Injection:
        """Record that the fault begins now."""
        return Injection(self.injection, time.monotonic())

    def end(self, injection: Injection) -> Injection:
        """Record that a lasting fault ends now."""
        return msgspec.structs.replace(injection, ended_at=time.monotonic())

    def pause(self, shortest: float, longest: float) -> None:
        """Sleep for a random time, so that the fault happens at a random point of the traffic."""
        time.sleep(self.rng.uniform(shortest, longest))

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition for a limited time; return whether it became true."""
        deadline = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return holds

    def has_recovered(self, injection: Injection) -> bool:
        """Whether every prediction that the fault affected is final."""
        entries = self.ledger.read().accepted()
        return not any(entry.is_open and injection.has_affected(entry) for entry in entries)

    def _find(self, trouble: Trouble) -> Entry | None:
        for entry in reversed(self.ledger.read().entries.values()):
            submission = entry.sent.submission
            if submission.injection == self.injection and submission.trouble is trouble:
                return entry
        return None


@contextmanager
def running_experiment(site: Site, folder: Path, rate: float, patience: float) -> Iterator[Experiment]:
    """Start a client; at the end, wait until it has polled everything that was accepted."""
    site.clear_pids()  # every client numbers its submissions from 0
    path = folder / "ledger.jsonl"
    options = ["--ports", ",".join(map(str, site.ports)), "--ledger", str(path)]
    options += ["--rate", str(rate), "--patience", str(patience)]
    command = [sys.executable, "-m", "tests.chaos.client", *options]
    with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE) as client:
        try:
            experiment = Experiment(site, Ledger(path), client)
            wait_for(lambda: len(experiment.ledger.read().accepted()) > rate / 2, "traffic")
            yield experiment
            client.communicate(timeout=longest_test())  # the client's patience, and two more polls of everything
        finally:
            client.kill()
    experiment.ledger.read()
