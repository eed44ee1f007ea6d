"""locust against the real thing: its own rows are in the report, and its exit code can be believed."""

import subprocess
import sys

from tests.run import Run
from tests.stack import ROOT, clean_environment, free_port


def run_locust(port: int) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--users=6", "--spawn-rate=6", "--run-time=4s", "--only-summary"]
    return subprocess.run(
        [sys.executable, "-m", "locust", *options, f"--host=http://127.0.0.1:{port}"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_load_reports_the_queue_and_ends_well(run: Run) -> None:
    done = run_locust(run.gateway.port)
    assert done.returncode == 0, done.stderr
    for row in ("in the queue", "in the pipeline", "submission to result, waiting", "submission to result, polling"):
        assert row in done.stderr + done.stdout


def test_load_without_a_gateway_ends_badly() -> None:
    assert run_locust(free_port()).returncode == 1
