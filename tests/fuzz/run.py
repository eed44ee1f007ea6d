"""Runs all checks and phases of schemathesis on every operation of a gateway."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from tests.patience import patience
from tests.stack import ROOT, clean_environment

TOKEN: Final = "open-sesame"


class Findings(NamedTuple):
    """The report of schemathesis."""

    cases: int
    failures: int
    """Cases that failed a check."""
    errors: int
    """Cases and operations that schemathesis could not run."""
    untested: int
    text: str
    """The output, with a command that repeats each failure."""

    @property
    def are_none(self) -> bool:
        """Whether every operation was tested and no case failed."""
        return self.failures == self.errors == self.untested == 0 < self.cases


def fuzz(port: int, folder: Path, *options: str, examples: int) -> Findings:
    """Test every operation of a gateway whose operator token is `TOKEN`.

    Args:
        port: the port of the gateway.
        folder: the folder for the report and other files of schemathesis.
        options: additional options of the command line.
        examples: the number of random examples for each operation and phase.
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
            f"--request-timeout={patience():.0f}",
            "--no-color",
            "--report=json",
            f"--report-json-path={report}",
            *options,
        ],
        cwd=folder,
        env=clean_environment(operator_token=TOKEN) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    if not report.exists() or not report.read_bytes():
        raise AssertionError(text)
    found = json.loads(report.read_text())
    cases, operations = found["test_cases"], found["operations"]
    untested = operations["total"] - operations["tested"] + (not found["complete"])
    return Findings(cases["generated"], cases["with_failures"], len(found["errors"]) + cases["errored"], untested, text)
