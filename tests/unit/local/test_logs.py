"""The reports of `make run` on a program that exited."""

from io import StringIO
from pathlib import Path

from local.exits import ExitReporter
from local.logs import log_excerpt, log_path, rotate_logs

CRITICAL = """\
2026-01-01T00:00:00Z [info     ] starts
2026-01-01T00:00:01Z [critical ] cannot load this model
Traceback (most recent call last):
{frames}
KeyError: 110
2026-01-01T00:00:02Z [info     ] stops
and more
"""


def report(reporter: ExitReporter, event: str, program: str = "worker") -> str:
    payload = f"processname:{program} groupname:{program} from_state:RUNNING expected:0 pid:1"
    return reporter.report(f"ver:3.0 eventname:PROCESS_STATE_{event} len:{len(payload)}\n", StringIO(payload))


def test_critical_entry_is_shown_with_the_end_of_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text(CRITICAL.format(frames="\n".join(f"  frame {number}" for number in range(40))))
    lines = log_excerpt(path).splitlines()
    assert lines[0].endswith("cannot load this model")
    assert lines[-2:] == ["  | KeyError: 110", f"  Full log: {path}"]
    assert len(lines) == 10


def test_last_lines_are_shown_if_no_entry_is_critical(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("\n".join(map(str, range(100))))
    assert log_excerpt(path).splitlines() == [*(f"  | {n}" for n in range(92, 100)), f"  Full log: {path}"]


def test_program_without_output_is_reported(tmp_path: Path) -> None:
    assert "No output" in report(ExitReporter(tmp_path, []), "EXITED")


def test_program_that_exits_repeatedly_is_reported_once_and_when_it_is_no_longer_restarted(tmp_path: Path) -> None:
    reporter, path = ExitReporter(tmp_path, []), log_path(tmp_path, "worker")
    log_path(tmp_path, "supervisor").write_text("WARN exited: worker (exit status 3; not expected)\n")
    reports = []
    for number in range(4):
        with path.open("a") as log:
            log.write(f"run {number}\n")
        reports.append(report(reporter, "BACKOFF"))
    reports.append(report(reporter, "FATAL"))
    assert ["exited (exit status 3)" in text for text in reports] == [True, False, False, False, True]
    assert "run 0" in reports[0]
    assert "is not restarted" in reports[4]
    assert "run 3" in reports[4]
    assert "run 2" not in reports[4]


def test_program_that_may_exit_is_not_reported(tmp_path: Path) -> None:
    assert report(ExitReporter(tmp_path, ["welcome"]), "EXITED", "welcome") == ""


def test_new_run_starts_new_logs_and_keeps_the_previous_ones(tmp_path: Path) -> None:
    log_path(tmp_path, "worker").write_text("output of the previous run")
    rotate_logs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log.1"]
