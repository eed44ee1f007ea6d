"""What a fault is given: the site, the client's ledger, and a way to have a burst sent beside the steady traffic."""

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
from tests.chaos.traffic import ROWS_A_SUBMISSION, Question, Trouble
from tests.patience import longest_test
from tests.stack import ROOT, clean_environment, wait_for

MATES: Final = 8  # predictions that leave with a troublesome one, so that some share its batch


class Scene:
    """One fault's run."""

    def __init__(self, site: Site, ledger: Ledger, commands: subprocess.Popen[bytes]) -> None:
        self.site = site
        self.ledger = ledger
        self.dice = Random(2)
        self.injection = 0
        self._client = commands

    def send(self, trouble: Trouble, argument: float = 0, gateway: int = 0) -> Entry:
        """Have a troublesome prediction sent with its mates; returns what the ledger has of it, once it is on the way.

        Every other one of them waits for its answer; the troublesome one does not.
        """
        first = Question(1, "respond-async", trouble, argument, self.injection)
        mates = [Question(1, "respond-async" if place % 2 else "", injection=self.injection) for place in range(MATES)]
        assert self._client.stdin is not None
        self._client.stdin.write(msgspec.json.encode(Burst([first, *mates], gateway)) + b"\n")
        self._client.stdin.flush()
        return wait_for(lambda: self._find(trouble), "the burst in the ledger")

    def told(self, entry: Entry) -> int:
        """Wait until a row that tells is inside the pipeline; returns the pid of the process that predicts it."""
        path = self.site.told_dir / str(entry.sent.number * ROWS_A_SUBMISSION)
        wait_for(path.exists, f"a told {path.name}")
        return int(path.read_text())

    def now(self) -> Injection:
        """Say that the fault happens at this moment."""
        return Injection(self.injection, time.monotonic())

    def over(self, injection: Injection) -> Injection:
        """Say that a fault that lasted is over at this moment."""
        return msgspec.structs.replace(injection, over_at=time.monotonic())

    def pause(self, shortest: float, longest: float) -> None:
        """Let traffic go on for a while, so that a fault may meet it anywhere."""
        time.sleep(self.dice.uniform(shortest, longest))

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition, but not for ever; returns whether it came true."""
        deadline = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return holds

    def is_over(self, injection: Injection) -> bool:
        """Whether everything that the fault affected is final."""
        entries = self.ledger.read().accepted()
        return not any(entry.is_open and injection.has_affected(entry) for entry in entries)

    def _find(self, trouble: Trouble) -> Entry | None:
        for entry in reversed(self.ledger.read().entries.values()):
            question = entry.sent.question
            if question.injection == self.injection and question.trouble is trouble:
                return entry
        return None


@contextmanager
def playing(site: Site, folder: Path, rate: float, patience: float) -> Iterator[Scene]:
    """Start a client; at the end, have it ask for everything that it was promised."""
    site.forget_told()  # every client counts its submissions from 0
    path = folder / "ledger.jsonl"
    options = ["--ports", ",".join(map(str, site.ports)), "--ledger", str(path)]
    options += ["--rate", str(rate), "--patience", str(patience)]
    command = [sys.executable, "-m", "tests.chaos.client", *options]
    with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE) as client:
        try:
            scene = Scene(site, Ledger(path), client)
            wait_for(lambda: len(scene.ledger.read().accepted()) > rate / 2, "traffic")
            yield scene
            client.communicate(timeout=longest_test())  # its own patience, and then everything twice more
        finally:
            client.kill()
    scene.ledger.read()
