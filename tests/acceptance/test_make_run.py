"""`make run` from start to stop, with broker, supervisor and Flower."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from shared.ids import PredictionId
from tests.run import Run
from tests.stack import ROOT, clean_environment, free_port, maps, run_module, running_stack, wait_for
from training.pipeline_file import save_pipeline_file

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]


BESIDE_PYTHON = Path(sys.executable).with_name("sepal")
SEPAL = BESIDE_PYTHON.relative_to(ROOT) if BESIDE_PYTHON.is_relative_to(ROOT) else BESIDE_PYTHON
WELCOME = [
    "Sepal serves",
    "predictions",
    "try it out",
    "Flower",
    "metrics",
    "broker",
    "objects",
    "logs",
    "curl",
    f"{SEPAL} predict --url http://",
    f"{SEPAL} score --url http://",
    "Ctrl-C",
]
PORTS = ("api_port", "redis_port", "flower_port", "worker_http_port", "bulk_worker_http_port")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(folder: Path, iris_dir: Path) -> Iterator[Run]:
    with Run(folder, iris_dir) as running:
        yield running.wait_until_ready()


def shown(run: Run) -> list[str]:
    """Return what the terminal showed, without the lines that tell a slow machine why the gateway is not ready yet."""
    return [line.strip() for line in run.log.splitlines() if line and not line.startswith("sepal: not ready after")]


def loads(worker: psutil.Process, library: str) -> bool:
    """Whether a pool process of the worker has mapped a file of a Python package."""
    return any(maps(process, library) for process in worker.children())


def queues(run: Run) -> dict[str, list[str]]:
    """Return the queues that each worker in Flower takes messages from; its name begins with that of its program."""
    with run.flower() as flower:
        workers = flower.get("/api/workers", params={"refresh": True}).json()
    return {
        re.sub(r"-[0-9a-f]{8}@.*", "", name): sorted(queue["name"] for queue in details["active_queues"])
        for name, details in workers.items()
        if "active_queues" in details
    }


def wait_for_end(processes: list[psutil.Process]) -> None:
    """Wait until no process is left; an orphan remains until init has reaped it."""
    wait_for(lambda: not [process for process in processes if process.is_running()], "the end of every process")


def test_request_of_the_tutorial_gets_the_same_result_by_waiting_and_by_polling(run: Run) -> None:
    answer = run.gateway.predict(TUTORIAL)
    assert answer.status_code == 200
    assert answer.json()["prediction"] == [0, 1]
    submitted = run.gateway.predict(TUTORIAL, prefer="respond-async")
    assert submitted.status_code == 202
    polled = run.gateway.poll(submitted.headers["Location"]).json()
    for field in ("prediction", "log_proba", "model", "status"):
        assert polled[field] == answer.json()[field]


def test_curl_command_of_the_welcome_works_as_printed(run: Run) -> None:
    curl = next(line.strip() for line in run.log.splitlines() if line.strip().startswith("curl "))
    done = subprocess.run(["bash", "-c", f"{curl} --silent"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_commands_of_the_welcome_work_as_printed(run: Run, tmp_path: Path) -> None:
    predict, score = (line.strip() for line in run.log.splitlines() if f"{SEPAL} " in line)
    done = subprocess.run(["bash", "-c", predict], cwd=ROOT, capture_output=True, text=True, check=True)
    rows, target = tmp_path / "rows.csv", tmp_path / "scored.csv"
    rows.write_text("\n".join(",".join(map(str, row)) for row in TUTORIAL))
    command = f"{score.replace('FILE.csv', str(rows)).replace('scored.parquet', str(target))} --no-header"
    subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    labels = [line.partition(",")[0] for line in target.read_text().splitlines()]
    assert labels == ["prediction", "0", "1"]
    assert "0" in done.stdout


def test_generated_password_is_printed_once_and_in_no_command_line(run: Run) -> None:
    _, password = run.flower_credentials
    assert run.log.count(password) == 1
    assert not [line for line in run.command_lines() if password in line]


def test_only_pool_processes_load_scikit_learn(run: Run) -> None:
    run.gateway.predict(TUTORIAL)
    workers = [run.child("worker"), run.child("bulk-worker")]
    assert not any(maps(process, "sklearn") for process in (run.child("gateway"), *workers))
    wait_for(lambda: all(loads(worker, "sklearn") for worker in workers), "loaded pool processes")


def test_bulk_worker_takes_its_own_queue_at_a_lower_priority(run: Run) -> None:
    wait_for(lambda: queues(run) == {"worker": ["interactive"], "bulk-worker": ["bulk"]}, "both workers in Flower")
    assert run.child("worker").nice() == 0
    pool = wait_for(run.child("bulk-worker").children, "a pool process of the bulk worker")
    assert [process.nice() for process in (run.child("bulk-worker"), *pool)] == [10, 10]


def test_no_process_that_predicts_single_rows_of_a_matrix_loads_pandas_or_arrow(run: Run) -> None:
    run.gateway.predict(TUTORIAL)
    worker = run.child("worker")
    processes = [run.child("gateway"), worker, *worker.children(recursive=True)]
    assert [process for process in processes if maps(process, "pandas") or maps(process, "pyarrow")] == []


def test_flower_shows_the_worker_and_a_succeeded_batch(run: Run) -> None:
    with run.flower() as flower:
        wait_for(lambda: "worker-" in flower.get("/workers").text, "the worker in Flower")
        batch_id = PredictionId.parse(run.gateway.predict(TUTORIAL).json()["id"]).batch_id

        def batch() -> str | None:
            page = flower.get(f"/task/{batch_id}")
            return page.text if page.status_code == 200 and "SUCCESS" in page.text else None

        assert "sepal.predict_batch" in wait_for(batch, "the batch in Flower")


def test_second_copy_names_the_taken_port_and_its_setting(run: Run, iris_dir: Path) -> None:
    for setting in PORTS:
        free = {name: free_port() for name in PORTS}
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


@pytest.mark.parametrize("program", ["gateway", "worker", "bulk-worker", "flower", "broker"])
def test_killed_program_is_restarted_and_reported(run: Run, program: str) -> None:
    before = run.child(program)
    before.kill()

    def restarted() -> bool:
        try:
            return run.child(program).pid != before.pid
        except psutil.NoSuchProcess:
            return False

    wait_for(restarted, f"another {program}")
    report = f"sepal: the {program} exited (terminated by SIGKILL) and is restarted. Last output:"
    wait_for(lambda: report in run.log, "the report on the terminal")
    # After "Full log:", or after "No output in": Flower logs nothing.
    wait_for(lambda: f" {run.log_of(program)}\n" in run.log, "the path of the log")
    wait_for(lambda: run.gateway.is_ready() and run.gateway.predict(TUTORIAL).status_code == 200, "a result")


def test_missing_model_is_trained_and_results_survive_a_restart_and_no_process_a_stop(folder: Path) -> None:
    with Run(folder / "first", None, api_processes=2) as first:
        first.wait_until_ready()
        assert "wrote models/iris/1" in first.log_of("training").read_text()
        submitted = first.gateway.predict(TUTORIAL, prefer="respond-async")
        answer = first.gateway.poll(submitted.headers["Location"]).json()
        assert answer["prediction"] == [0, 1]
        below = first.part.process.children(recursive=True)
        os.killpg(first.part.popen.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        first.part.wait()
    # The command is shown as one can call it from the working directory.
    lines = [line.replace(str(BESIDE_PYTHON), str(SEPAL)) for line in shown(first)]
    assert len(lines) == len(WELCOME), first.log
    assert [line for line, begins in zip(lines, WELCOME, strict=True) if not line.startswith(begins)] == []
    assert len(below) >= 9
    wait_for_end(below)
    kept: dict[str, Any] = first.settings
    with Run(folder / "second", folder / "first" / "models" / "iris" / "1", **kept) as second:
        second.wait_until_ready()
        assert second.gateway.client.get(submitted.headers["Location"]).json() == answer
        below = second.stop(signal.SIGTERM)
    wait_for_end(below)


def test_make_run_with_a_given_broker_and_a_single_worker_ends_at_one_sigterm(
    folder: Path, iris_dir: Path, broker_port: int
) -> None:
    broker_url = f"redis://127.0.0.1:{broker_port}/3"
    with Run(folder / "make", iris_dir, ["make", "run"], redis_url=broker_url, single_worker=True) as run:
        run.wait_until_ready()
        assert f"broker       {broker_url}" in run.log
        assert not any("sepal: " in line for line in shown(run))
        wait_for(lambda: queues(run) == {"worker": ["bulk", "interactive"]}, "the worker in Flower")
        assert run.gateway.predict(TUTORIAL).status_code == 200
        assert not any(run.log_of(program).exists() for program in ("broker", "bulk-worker"))
        below = run.stop(signal.SIGTERM)
    wait_for_end(below)


@pytest.fixture
def refused_dir(tmp_path: Path, iris_dir: Path) -> Path:
    """A copy of the iris model, for a test to damage."""
    return Path(shutil.copytree(iris_dir, tmp_path / "model"))


def alter_card(model_dir: Path, **members: object) -> None:
    card = json.loads((model_dir / "card.json").read_text())
    (model_dir / "card.json").write_text(json.dumps(card | members))


def need_a_distribution(model_dir: Path) -> None:
    alter_card(model_dir, versions={"no-such-distribution": "4.6.0"})


def test_what_the_model_needs_is_installed_when_asked(refused_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_a_distribution(refused_dir)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    ports = {name: free_port() for name in PORTS}
    done = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=clean_environment(**ports, model_dir=refused_dir, state_dir=refused_dir.parent / "state", install=1),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No matching distribution found for no-such-distribution==4.6.0" in done.stderr
    assert "sepal: cannot install the distributions that the model needs" in done.stderr


def test_failed_training_is_reported_with_its_output(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in place of the folder")
    with Run(tmp_path, None) as run:
        assert run.part.wait() == 1
    assert "sepal: there is no model models/iris, and training it failed. Last output:" in run.log
    assert "models" in run.log.partition("Last output:")[2]


def test_unknown_model_is_reported_with_those_that_can_be_served(tmp_path: Path, iris_dir: Path) -> None:
    shutil.copytree(iris_dir, tmp_path / "models" / "flowers" / "2")
    with Run(tmp_path, None, model="nosuch") as run:
        assert run.part.wait() == 1
    assert "there is no model models/nosuch" in run.log
    assert "models/ contains flowers/2" in run.log
    assert "there is no recipe nosuch; the recipes are breast-cancer, digits-forest, iris, penguins." in run.log
    assert "python -m training card --help" in run.log
    assert "usage:" not in run.log


def test_request_of_a_model_without_data_is_marked_as_made_up(tmp_path: Path) -> None:
    iris = load_iris()
    joblib.dump(LogisticRegression(max_iter=1000).fit(iris.data, iris.target), tmp_path / "model.joblib")
    made = save_pipeline_file(tmp_path / "model.joblib", tmp_path / "models", name="bare", version="1")
    with running_stack(tmp_path, made.model_dir) as (_, gateway):
        welcome = run_module("local.welcome", environment=clean_environment(api_port=gateway.port))
    assert "Sepal serves bare 1." in welcome.stdout
    assert "the values in this request are placeholders" in welcome.stdout


def test_given_model_folder_without_a_card_is_named(tmp_path: Path) -> None:
    ports = {name: free_port() for name in PORTS}
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
