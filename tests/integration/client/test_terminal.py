"""The command `sepal` on a terminal: its progress bar, and Ctrl-C at each moment."""

import os
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client.commands import SEPAL, environment, sepal
from tests.integration.conftest import GatedStack
from tests.patience import patience
from tests.stack import Gateway, wait_for
from tests.terminals import CTRL_C, Terminal, running
from tests.uploads import GATED_HEADER, accepted, csv_of

GATE = 7
INTERRUPTED = 130
ASKS = "Leave it running? [Y/n]"
BEFORE_THE_RESPONSE = "Interrupted before the gateway responded"
ID = re.compile(r"AaI[A-Za-z0-9_-]{37}")


@contextmanager
def terminal(gateway: Gateway, *words: object, **streams: Any) -> Iterator[Terminal]:
    """Run a command in a terminal."""
    with running([*SEPAL, *map(str, words)], environment(gateway), **streams) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_is_left_running(gated: GatedStack) -> Iterator[None]:
    """Wait for what a test has left running: its process must see the gate open before the next test closes it."""
    yield
    listing = "/predictions?state=queued&state=running"
    wait_for(lambda: not gated.gateway.client.get(listing).json()["predictions"], "final predictions")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file whose last row waits at the gate."""
    path = tmp_path / "rows.csv"
    path.write_text(csv_of(GATED_HEADER, [*[[1, 0]] * 20_000, [1, GATE]]))
    return path


@contextmanager
def scoring(gated: GatedStack, rows: Path, *words: object, **streams: Any) -> Iterator[Terminal]:
    """Run `sepal score` in a terminal, until it waits for the last row."""
    with gated.gates.closed(GATE), terminal(gated.gateway, "score", rows, *words, **streams) as found:
        wait_until_running(gated.gateway, found)
        yield found


def wait_until_running(gateway: Gateway, shown: Terminal) -> None:
    """Wait until a slice is claimed and the command knows that its rows were accepted."""
    wait_for(lambda: bool(running_ids(gateway)), "the claim of a slice")
    shown.wait_for("/20,001 rows")


def running_ids(gateway: Gateway) -> list[str]:
    return [each["id"] for each in gateway.client.get("/predictions?state=running").json()["predictions"]]


def state_of(gateway: Gateway, prediction_id: str) -> str:
    return str(gateway.client.get(f"/results/{prediction_id}?limit=0").json()["status"])


def id_in(text: str) -> str:
    """Return the id in what a command has shown."""
    found = ID.search(text)
    assert found is not None, text
    return found[0]


def test_bar_shows_the_rows_and_the_end_is_one_line(gated: GatedStack, rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "scored.parquet"
    with scoring(gated, rows, "-o", target) as shown:
        shown.wait_for("/20,001 rows")
        gated.gates.open(GATE)
        assert shown.wait() == 0
    assert "Uploading" in shown.shown
    last = shown.shown.split("\x1b[2K")[-1].strip()
    assert re.fullmatch(rf"sepal: 20,001 rows scored in [0-9.]+ s: {target}", last)


def test_result_on_the_terminal_is_not_mixed_with_the_bar(gated: GatedStack, rows: Path) -> None:
    rows.write_text(csv_of(GATED_HEADER, [[1, 0], [-1, 0]]))
    with terminal(gated.gateway, "score", rows, "--outputs", "prediction") as shown:
        assert shown.wait() == 0
    result = shown.shown.rpartition("\x1b[2K")[2].split()
    assert result[:3] == ["prediction", "1", "0"]
    assert " ".join(result[3:]).startswith("sepal: 2 rows scored in")


def test_watch_shows_the_same_bar(gated: GatedStack, rows: Path) -> None:
    with gated.gates.closed(GATE):
        prediction_id = accepted(gated.gateway, rows.read_bytes()).removeprefix("/results/")
        with terminal(gated.gateway, "watch", prediction_id) as shown:
            shown.wait_for("/20,001 rows")
            gated.gates.open(GATE)
            assert shown.wait() == 0
    assert "succeeded: 20,001 rows" in shown.shown


def test_bar_is_not_shown_when_it_is_told_to_be_quiet(gated: GatedStack, rows: Path, tmp_path: Path) -> None:
    with terminal(gated.gateway, "score", rows, "-o", tmp_path / "scored.csv", "--quiet") as shown:
        assert shown.wait() == 0
    assert shown.shown == ""


def test_ctrl_c_asks_and_enter_leaves_it_running(gated: GatedStack, rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "scored.csv"
    with scoring(gated, rows, "-o", target) as shown:
        shown.type(CTRL_C)
        shown.wait_for(ASKS)
        shown.type(b"\n")
        assert shown.wait() == INTERRUPTED
        prediction_id = id_in(shown.shown)
        assert state_of(gated.gateway, prediction_id) == "running"
    assert f"sepal results {prediction_id} -o {target}" in shown.shown
    assert os.listdir(tmp_path) == ["rows.csv"]  # noqa: PTH208 - the names, hidden ones too
    sepal(gated.gateway, "results", prediction_id, "-o", target)
    assert target.read_text().count("\n") == 20_002


def test_ctrl_c_asks_and_no_cancels_it(gated: GatedStack, rows: Path) -> None:
    with scoring(gated, rows, "-o", rows.with_suffix(".arrow")) as shown:
        shown.type(CTRL_C)
        shown.wait_for(ASKS)
        shown.type(b"n\n")
        assert shown.wait() == INTERRUPTED
        assert state_of(gated.gateway, id_in(shown.shown)) == "canceled"
    assert "is canceled" in shown.shown


def test_second_ctrl_c_leaves_at_once(gated: GatedStack, rows: Path) -> None:
    with scoring(gated, rows, "-o", rows.with_suffix(".arrow")) as shown:
        shown.type(CTRL_C)
        shown.wait_for(ASKS)
        shown.type(CTRL_C)
        assert shown.wait() == INTERRUPTED
        assert state_of(gated.gateway, id_in(shown.shown)) == "running"


def test_interrupt_is_not_answered_by_a_question_where_standard_input_is_a_file(gated: GatedStack, rows: Path) -> None:
    with (
        rows.open("rb") as source,
        gated.gates.closed(GATE),
        terminal(gated.gateway, "score", "-", "-o", rows.with_suffix(".arrow"), stdin=source) as shown,
    ):
        wait_until_running(gated.gateway, shown)
        shown.type(CTRL_C)
        assert shown.wait() == INTERRUPTED
        assert state_of(gated.gateway, id_in(shown.shown)) == "running"
    assert ASKS not in shown.shown


def test_ctrl_c_does_not_stop_what_another_command_has_started(gated: GatedStack, rows: Path) -> None:
    with gated.gates.closed(GATE):
        prediction_id = accepted(gated.gateway, rows.read_bytes()).removeprefix("/results/")
        with terminal(gated.gateway, "watch", prediction_id) as shown:
            shown.wait_for("rows")
            wait_for(lambda: running_ids(gated.gateway), "the claim of a slice")
            shown.type(CTRL_C)
            assert shown.wait() == INTERRUPTED
        assert state_of(gated.gateway, prediction_id) == "running"
    assert f"sepal watch {prediction_id}" in shown.shown


def test_interrupted_download_says_how_to_get_the_result(gated: GatedStack, rows: Path) -> None:
    reading, writing = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, reading)
        pipe = stack.enter_context(os.fdopen(writing, "wb"))
        shown = stack.enter_context(terminal(gated.gateway, "score", rows, stdout=pipe))
        wait_for(lambda: select.select([reading], [], [], 0)[0], "the first rows of the result, which nobody reads")
        shown.type(CTRL_C)
        assert shown.wait() == INTERRUPTED
    assert f"To fetch the result later: sepal results {id_in(shown.shown)}" in shown.shown


def test_interrupted_upload_says_that_nothing_was_accepted(rows: Path, tmp_path: Path) -> None:
    rows.write_text(csv_of(GATED_HEADER, [[1, 0]] * 3_000_000))  # more than the kernel takes from a sender
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience())
        variables = environment(url=f"http://127.0.0.1:{server.getsockname()[1]}")
        with running([*SEPAL, "score", str(rows), "-o", str(tmp_path / "scored.csv")], variables) as shown:
            connection, _ = server.accept()
            with connection:
                shown.wait_for("Uploading")
                shown.type(CTRL_C)
                assert shown.wait() == INTERRUPTED
    assert "Interrupted during the upload: nothing was accepted." in shown.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_killed_command_leaves_no_half_file(gated: GatedStack, rows: Path, number: signal.Signals) -> None:
    folder = rows.parent / "results"
    folder.mkdir()
    with scoring(gated, rows, "-o", folder / "scored.csv") as shown:
        shown.send(number)
        assert shown.wait() == 128 + number
    assert [*folder.iterdir()] == []


def test_terminal_shows_no_binary_format(gated: GatedStack, rows: Path) -> None:
    with terminal(gated.gateway, "score", rows, "--to", "parquet") as shown:
        assert shown.wait() == 3
    assert "A terminal cannot show parquet" in shown.shown


def test_status_is_refreshed_until_ctrl_c(gated: GatedStack) -> None:
    with terminal(gated.gateway, "status", "--watch") as shown:
        wait_for(lambda: shown.times("interactive") > 1, "the second table")
        shown.type(CTRL_C)
        assert shown.wait() == INTERRUPTED


def test_person_sees_the_probability_of_each_class(gated: GatedStack) -> None:
    with terminal(gated.gateway, "predict", 1, 0) as shown:
        assert shown.wait() == 0
    assert "100.0%" in shown.shown


def test_interrupted_command_without_a_terminal_names_the_prediction(gated: GatedStack, rows: Path) -> None:
    target = rows.with_suffix(".arrow")

    def interrupted() -> bool:
        """Interrupt a command while a slice is claimed; whether the command knew that its rows were accepted."""
        with gated.gates.closed(GATE):
            command = subprocess.Popen(
                [*SEPAL, "score", str(rows), "-o", str(target)],
                env=environment(gated.gateway),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with command:
                (prediction_id,) = wait_for(lambda: running_ids(gated.gateway), "the claim of a slice")
                command.send_signal(signal.SIGINT)
                stdout, stderr = command.communicate()
            assert state_of(gated.gateway, prediction_id) == "running"
            gated.gateway.client.delete(f"/results/{prediction_id}")
        assert (command.returncode, stdout) == (INTERRUPTED, "")
        continues = f"Prediction {prediction_id} continues: sepal results {prediction_id} -o {target}"
        assert stderr == f"sepal: Interrupted. {continues}\n" or BEFORE_THE_RESPONSE in stderr
        return BEFORE_THE_RESPONSE not in stderr

    wait_for(interrupted, "an interrupt after the gateway's answer")
