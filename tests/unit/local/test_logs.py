"""What `make run` shows of a part that has ended."""

from io import StringIO
from pathlib import Path

from local.exits import ExitReporter
from local.logs import begin, log_excerpt, log_file

CRITICAL = """\
2026-01-01T00:00:00Z [info     ] starts
2026-01-01T00:00:01Z [critical ] cannot load this model
Traceback (most recent call last):
{frames}
KeyError: 110
2026-01-01T00:00:02Z [info     ] stops
and more
"""


def tell(endings: ExitReporter, event: str, part: str = "worker") -> str:
    payload = f"processname:{part} groupname:{part} from_state:RUNNING expected:0 pid:1"
    return endings.tell(f"ver:3.0 eventname:PROCESS_STATE_{event} len:{len(payload)}\n", StringIO(payload))


def test_what_is_critical_is_shown_with_the_end_of_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text(CRITICAL.format(frames="\n".join(f"  frame {number}" for number in range(40))))
    lines = log_excerpt(path).splitlines()
    assert lines[0].endswith("cannot load this model")
    assert lines[-2:] == ["  | KeyError: 110", f"  All of it is in {path}."]
    assert len(lines) == 10


def test_last_lines_are_shown_where_nothing_is_critical(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("\n".join(map(str, range(100))))
    assert log_excerpt(path).splitlines() == [*(f"  | {n}" for n in range(92, 100)), f"  All of it is in {path}."]


def test_part_without_a_word_is_told_of_as_well(tmp_path: Path) -> None:
    assert "has written nothing" in tell(ExitReporter(tmp_path, []), "EXITED")


def test_part_that_ends_again_and_again_is_told_of_once_and_when_it_is_given_up(tmp_path: Path) -> None:
    endings, path = ExitReporter(tmp_path, []), log_file(tmp_path, "worker")
    log_file(tmp_path, "supervisor").write_text("WARN exited: worker (exit status 3; not expected)\n")
    told = []
    for life in range(4):
        with path.open("a") as log:
            log.write(f"life {life}\n")
        told.append(tell(endings, "BACKOFF"))
    told.append(tell(endings, "FATAL"))
    assert ["has ended (exit status 3)" in text for text in told] == [True, False, False, False, True]
    assert "life 0" in told[0]
    assert "is left alone" in told[4]
    assert "life 3" in told[4]
    assert "life 2" not in told[4]


def test_part_that_may_end_is_not_told_of(tmp_path: Path) -> None:
    assert tell(ExitReporter(tmp_path, ["ready"]), "EXITED", "ready") == ""


def test_new_run_begins_new_logs_and_keeps_the_last_ones(tmp_path: Path) -> None:
    log_file(tmp_path, "worker").write_text("of the last run")
    begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log.1"]
