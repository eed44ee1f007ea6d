"""`make run` from start to stop, with its own broker, supervisor and Flower, as a newcomer has it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.ids import PredictionId
from tests.run import Run
from tests.stack import ROOT, Part, clean_environment, free_port, maps_sklearn, wait_for

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]


WELCOME = ["Sepal serves", "predictions", "try it out", "Flower", "metrics", "broker", "logs", "curl", "Ctrl-C"]


def wait_for_end(processes: list[psutil.Process]) -> None:
    """Wait until none is left: one whose parent has ended is there until init has seen its end."""
    wait_for(lambda: not [process for process in processes if process.is_running()], "the end of every process")


def test_tutorials_request_is_answered_both_ways(run: Run) -> None:
    answer = run.gateway.predict(TUTORIAL)
    assert answer.status_code == 200
    assert answer.json()["prediction"] == [0, 1]
    submitted = run.gateway.predict(TUTORIAL, prefer="respond-async")
    assert submitted.status_code == 202
    polled = run.gateway.poll(submitted.headers["Location"]).json()
    for field in ("prediction", "log_proba", "model", "status"):
        assert polled[field] == answer.json()[field]


def test_welcomes_curl_works_as_printed(run: Run) -> None:
    curl = next(line.strip() for line in run.log.splitlines() if line.strip().startswith("curl "))
    done = subprocess.run(["bash", "-c", f"{curl} --silent"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_scikit_learn_is_in_no_gateway_and_in_no_celery_parent(run: Run) -> None:
    run.gateway.predict(TUTORIAL)
    assert not maps_sklearn(run.child("api"))
    worker = run.child("worker")
    assert not maps_sklearn(worker)
    assert any(maps_sklearn(process) for process in worker.children())


def test_flower_shows_the_worker_and_a_succeeded_batch(run: Run) -> None:
    batch_id = PredictionId.parse(run.gateway.predict(TUTORIAL).json()["id"]).batch_id
    with run.flower() as flower:
        wait_for(lambda: "worker-" in flower.get("/workers").text, "the worker in Flower")

        def batch() -> str | None:
            page = flower.get(f"/task/{batch_id}")
            return page.text if page.status_code == 200 and "SUCCESS" in page.text else None

        assert "sepal.predict_batch" in wait_for(batch, "the batch in Flower")


def test_second_copy_is_told_which_port_is_taken_and_how_to_move(run: Run, iris_dir: Path) -> None:
    for setting in ("api_port", "redis_port", "flower_port"):
        free = {"api_port": free_port(), "redis_port": free_port(), "flower_port": free_port()}
        taken = {**free, setting: run.settings[setting], "model_dir": iris_dir, "state_dir": run.folder / "second"}
        second = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=clean_environment(**taken),
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert f"port {run.settings[setting]} " in second.stderr
        assert f"SEPAL_{setting.upper()}" in second.stderr


@pytest.mark.parametrize("name", ["api", "worker", "flower", "-server"])
def test_part_that_dies_is_restarted_and_it_says_so(run: Run, name: str) -> None:
    before = run.child(name)
    before.kill()

    def restarted() -> bool:
        try:
            return run.child(name).pid != before.pid
        except (StopIteration, psutil.NoSuchProcess):
            return False

    wait_for(restarted, f"another {name}")
    part = {"api": "gateway", "-server": "broker"}.get(name, name)
    said = f"sepal: the {part} has ended (terminated by SIGKILL), and is started again. It said:"
    wait_for(lambda: said in run.log, "the news on the terminal")
    assert f" {run.log_of(part)}." in run.log  # where to read on, or that there is nothing: Flower says nothing
    wait_for(lambda: run.gateway.is_ready() and run.gateway.predict(TUTORIAL).status_code == 200, "an answer")


def test_result_outlives_a_restart_and_nothing_outlives_a_stop(folder: Path, iris_dir: Path) -> None:
    with Run(folder / "first", iris_dir, state_dir=folder / "kept", api_processes=2) as first:
        first.wait_until_ready()
        submitted = first.gateway.predict(TUTORIAL, prefer="respond-async")
        answer = first.gateway.poll(submitted.headers["Location"]).json()
        below = first.stop(signal.SIGINT)
    shown = [line.strip() for line in first.log.splitlines() if line]
    assert [line for line, begins in zip(shown, WELCOME, strict=True) if not line.startswith(begins)] == []
    assert len(below) >= 7
    wait_for_end(below)
    kept = {name: value for name, value in first.settings.items() if name != "model_dir"}
    with Run(folder / "second", iris_dir, **kept) as second:
        second.wait_until_ready()
        assert second.gateway.client.get(submitted.headers["Location"]).json() == answer
        below = second.stop(signal.SIGTERM)
    wait_for_end(below)


def test_without_a_model_it_trains_one_and_ctrl_c_ends_the_whole_group(folder: Path) -> None:
    with Run(folder / "untrained", None) as run:
        run.wait_until_ready()
        assert run.log.startswith("\nSepal serves")
        assert "wrote models/iris/1" in run.log_of("training").read_text()
        assert run.gateway.predict(TUTORIAL).json()["prediction"] == [0, 1]
        below = run.part.process.children(recursive=True)
        os.killpg(run.part.popen.pid, signal.SIGINT)  # what a terminal does
        run.part.wait()
    wait_for_end(below)


def test_make_uses_a_given_broker_and_forwards_one_term_to_everything(
    folder: Path, iris_dir: Path, broker_port: int
) -> None:
    ports = {name: free_port() for name in ("api_port", "flower_port")}
    broker_url = f"redis://127.0.0.1:{broker_port}/3"
    environment = clean_environment(**ports, redis_url=broker_url, state_dir=folder / "make", model_dir=iris_dir)
    make = Part("make", ["make", "run"], environment, folder)
    try:
        wait_for(lambda: "Ctrl-C stops everything" in make.log.read_text(), f"the welcome in {make.log}")
        assert f"broker       {broker_url}" in make.log.read_text()
        assert not list((folder / "make").rglob("broker.log"))
        below = make.process.children(recursive=True)
        make.popen.terminate()
        make.wait()
        wait_for_end(below)
    finally:
        make.stop()


@pytest.mark.parametrize(
    ("has_its_digest", "reason"), [(False, "replaced or damaged"), (True, "cannot load this model")]
)
def test_model_that_cannot_be_served_is_told_on_the_terminal(
    tmp_path: Path, iris_dir: Path, has_its_digest: bool, reason: str
) -> None:
    model_dir = tmp_path / "model"
    shutil.copytree(iris_dir, model_dir)
    (model_dir / "pipeline.joblib").write_bytes(b"no pickle")
    if has_its_digest:
        card = json.loads((model_dir / "card.json").read_text())
        card["digest"] = "sha256:" + hashlib.sha256(b"no pickle").hexdigest()
        (model_dir / "card.json").write_text(json.dumps(card))
    with Run(tmp_path / "run", model_dir) as run:
        wait_for(lambda: "sepal: the worker has ended" in run.log, "the news on the terminal")
        wait_for(lambda: f"All of it is in {run.log_of('worker')}." in run.log, "where to read on")
        assert reason in run.log
        assert "Sepal serves" not in run.log
        run.stop(signal.SIGINT)


def test_training_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder is to be")
    with Run(tmp_path, None) as run:
        assert run.part.wait() == 1
    assert "sepal: training failed. It said:" in run.log
    assert "models" in run.log.partition("It said:")[2]


def test_foreign_model_folder_without_a_card_is_named(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("api_port", "redis_port", "flower_port")}
    done = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=clean_environment(**ports, model_dir=tmp_path / "nothing"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(tmp_path / "nothing") in done.stderr
