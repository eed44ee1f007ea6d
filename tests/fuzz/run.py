"""Runs schemathesis against a gateway: every check, every phase, every operation."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.hooks import TOKEN_VARIABLE
from tests.stack import ROOT, clean_environment

TOKEN: Final = "open-sesame"


class Findings(NamedTuple):
    """What schemathesis reports."""

    cases: int
    failures: int
    """Cases whose answer is not what the schema says."""
    errors: int
    """Operations that could not be tried."""
    untested: int
    text: str
    """Its own words, with a command for each failure that repeats it."""

    @property
    def are_none(self) -> bool:
        """Whether everything was tried and nothing was found."""
        return self.failures == self.errors == self.untested == 0 < self.cases


def fuzz(port: int, folder: Path, *options: str, examples: int) -> Findings:
    """Try every operation of a gateway whose operators' token is `TOKEN`.

    Args:
        port: the gateway's.
        folder: what schemathesis leaves is left here.
        options: more of its command line.
        examples: drawn for each operation and phase, beside those that its schema calls for.
    """
    report = folder / "schemathesis.json"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={ROOT / 'schemathesis.toml'}",
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            "--checks=all",
            f"--max-examples={examples}",
            "--continue-on-failure",
            "--no-color",
            "--report=json",
            f"--report-json-path={report}",
            *options,
        ],
        cwd=folder,
        env=clean_environment() | {TOKEN_VARIABLE: TOKEN, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    if not report.exists():
        raise AssertionError(text)
    found = json.loads(report.read_text())
    cases, operations = found["test_cases"], found["operations"]
    untested = operations["total"] - operations["tested"] + (not found["complete"])
    return Findings(cases["generated"], cases["with_failures"], len(found["errors"]) + cases["errored"], untested, text)
