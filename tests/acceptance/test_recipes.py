"""The recipes are correct: a shell runs their blocks in order."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from tests import pipelines
from tests.gates import save_gated
from tests.generated_client import PAGE, SECTION
from tests.shell import Shell, blocks
from tests.stack import Gateway, Stack, clean_environment, running_stack, wait_for

BLOCKS = blocks(PAGE, "sh")
OPERATORS, GENERATED = "Dead letters", SECTION
DEFAULT_URL = "http://localhost:8000"
TOKEN = "let me in"

Printed = dict[str, list[str]]


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, iris_stack: tuple[Stack, Gateway]
) -> Iterator[tuple[Path, Printed]]:
    """The folder of a reader who followed the page, and what each block printed, by its heading."""
    folder, printed = tmp_path_factory.mktemp("recipes"), dict[str, list[str]]()
    with shell(folder, iris_stack[1]) as reader:
        for heading, texts in BLOCKS.items():
            if heading not in (OPERATORS, GENERATED):
                printed[heading] = [run_block(reader, iris_stack, heading, text) for text in texts]
        yield folder, printed


def shell(folder: Path, gateway: Gateway, **settings: str) -> Shell:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    url = f"http://127.0.0.1:{gateway.port}"
    return Shell(folder, clean_environment(url=url, **settings) | {"PATH": path})


def run_block(reader: Shell, iris_stack: tuple[Stack, Gateway], heading: str, block: str) -> str:
    """Run a block; one that cancels a file while no worker takes files, so that it comes in time."""
    stack, gateway = iris_stack
    block = block.replace(DEFAULT_URL, f"http://127.0.0.1:{gateway.port}")
    if heading != "Cancel":
        return reader.run(block)
    worker = stack.part("worker").process
    worker.suspend()
    try:
        return reader.run(block)
    finally:
        worker.resume()
        wait_for(lambda: takes_files(gateway), "the worker")


def takes_files(gateway: Gateway) -> bool:
    """Whether the gateway is ready, and knows of a pool process for files: an announcement may have expired."""
    bulk = gateway.client.get("/status").json()["queues"]["bulk"]
    return gateway.is_ready() and bulk["pool_processes"] > 0


def of(session: tuple[Path, Printed], heading: str, index: int = 0) -> Any:
    """Return the JSON that a block printed."""
    return json.loads(session[1][heading][index])


def test_rows_are_predicted(session: tuple[Path, Printed]) -> None:
    assert of(session, "Predict")["prediction"] == [0, 1]
    assert of(session, "Predict", 1)["proba"] == [[1.0, 0.0, 0.0]]


def test_prediction_is_looked_up_later(session: tuple[Path, Printed]) -> None:
    assert of(session, "Submit now, look up later")["prediction"] == [0]


def test_files_are_accepted_as_they_are_and_compressed(session: tuple[Path, Printed]) -> None:
    for index in range(2):
        assert of(session, "Upload a file", index)["rows"]["total"] == 2


def test_file_is_followed_to_its_end(session: tuple[Path, Printed]) -> None:
    events, status = session[1]["Follow it"]
    assert "event: end" in events
    assert json.loads(status)["status"] == "succeeded"


def test_result_is_downloaded_with_the_carried_column(session: tuple[Path, Printed]) -> None:
    lines = session[1]["Download"][0].splitlines()
    assert [line.split(",")[:2] for line in lines] == [["id", "prediction"], ["0007", "0"], ["0008", "1"]]


def test_download_that_broke_off_is_resumed(session: tuple[Path, Printed]) -> None:
    folder, _ = session
    table = parquet.read_table(folder / "scored.parquet")
    assert table.column("id").to_pylist() == ["0007", "0008"]


def test_file_is_canceled(session: tuple[Path, Printed]) -> None:
    assert of(session, "Cancel")["status"] == "canceled"


def test_files_are_listed(session: tuple[Path, Printed]) -> None:
    states = [each["status"] for each in of(session, "List your files")["predictions"]]
    assert {"succeeded", "canceled"} <= set(states)


def test_repeated_request_gets_the_same_prediction(
    session: tuple[Path, Printed], iris: Gateway, tmp_path: Path
) -> None:
    first = of(session, "Repeat a request safely")
    with shell(tmp_path, iris) as reader:
        again = json.loads(reader.run(BLOCKS["Repeat a request safely"][0]))
    assert (again["id"], again["prediction"]) == (first["id"], [0])


def test_model_and_service_are_described(session: tuple[Path, Printed]) -> None:
    model, status, ready = (of(session, "The model and the service", index) for index in range(3))
    assert model["name"] == "iris"
    assert status["queues"]["bulk"]["pool_processes"] >= 1
    assert ready == {"status": "ready"}


def test_dead_letters_are_listed_shown_replayed_and_discarded(tmp_path: Path) -> None:
    model_dir, _ = save_gated(tmp_path, pipelines.Lethal)
    with (
        running_stack(tmp_path, model_dir, operator_token=TOKEN, max_attempts=1) as (_, gateway),
        shell(tmp_path, gateway, operator_token=TOKEN) as operator,
    ):
        poison = {"data": [[1, pipelines.Lethal.KILL]]}
        list_letters, show, replay, discard = BLOCKS[OPERATORS]

        def lose(location: str) -> str:
            """Wait until a prediction is a dead letter; return its id."""
            assert gateway.poll(location).json()["error"]["code"] == "poison"
            (letter,) = json.loads(operator.run(list_letters))["dead_letters"]
            operator.run(f"LETTER={letter['id']}")
            return str(letter["id"])

        first = lose(submitted(gateway, poison).headers["Location"])
        assert json.loads(operator.run(show))["rows"] == poison["data"]
        replayed = json.loads(operator.run(replay))["id"]
        assert lose(f"/results/{replayed}") != first
        assert operator.run(discard) == ""
        assert json.loads(operator.run(list_letters)) == {"dead_letters": []}


def submitted(gateway: Gateway, body: Any) -> httpx.Response:
    return gateway.client.post("/predict", json=body, headers={"Prefer": "respond-async"})


def test_client_that_is_generated_predicts_and_uploads(session: tuple[Path, Printed], iris: Gateway) -> None:
    folder, _ = session
    url = f"http://127.0.0.1:{iris.port}"
    (configuration,), (program,) = (blocks(PAGE, language)[GENERATED] for language in ("yaml", "python"))
    (folder / "generator.yaml").write_text(configuration)
    (command,) = BLOCKS[GENERATED]
    with shell(folder, iris) as reader:
        reader.run(command)
    program = program.replace(DEFAULT_URL, url)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    prediction, state = done.stdout.splitlines()
    assert prediction == "[0]"
    assert state in {"queued", "running", "succeeded"}
