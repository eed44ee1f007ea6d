"""The README and the reference are correct: their commands are run, and their tables compared with the code."""

import json
import re
import shutil
import subprocess
import sys
from csv import DictReader
from io import BytesIO, StringIO
from pathlib import Path

import joblib
import pytest
import skops.io
from pyarrow import csv, parquet
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from api.http.problems import STATUS_BY_CODE
from tests.run import Run
from tests.stack import ROOT, Gateway, clean_environment

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run_curl(command: str, gateway: Gateway, folder: Path | None = None) -> str:
    command = command.strip().replace("localhost:8000", f"127.0.0.1:{gateway.port}")
    done = subprocess.run(["bash", "-c", f"{command} --silent"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def _with_sepal(commands: str) -> str:
    return commands.replace(".venv/bin/sepal", str(Path(sys.executable).with_name("sepal")))


def _environment_of(gateway: Gateway) -> dict[str, str]:
    return clean_environment() | {"SEPAL_URL": f"http://127.0.0.1:{gateway.port}"}


def test_request_of_the_readme_returns_the_response_shown(iris: Gateway) -> None:
    curl, *_ = (block for block in blocks("sh") if block.startswith("curl -X"))
    answer = json.loads(run_curl(curl, iris))
    shown, _ = (json.loads(block) for block in blocks("json"))
    assert list(answer) == list(shown)
    for field in ("prediction", "log_proba", "status"):
        assert answer[field] == shown[field]
    for field in ("name", "version", "digest"):
        assert answer["model"][field].startswith(shown["model"][field].rstrip("…"))


def test_respond_async_request_of_the_readme_returns_a_location_to_poll(iris: Gateway) -> None:
    (curl,) = (block for block in blocks("sh") if block.startswith("curl -i"))
    response = run_curl(curl, iris)
    assert " 202 Accepted" in response
    (location,) = re.findall(r"(?im)^location: (/results/\S+)", response)
    assert iris.poll(location).json()["prediction"] == [0, 1]


def test_file_of_the_readme_is_scored_as_shown(iris: Gateway, tmp_path: Path) -> None:
    (score,) = (block for block in blocks("sh") if block.startswith("printf "))
    subprocess.run(["bash", "-c", _with_sepal(score)], cwd=tmp_path, env=_environment_of(iris), check=True)
    scored = parquet.read_table(tmp_path / "scored.parquet")
    (upload,) = (block for block in blocks("sh") if block.startswith("curl -X POST localhost:8000/predictions "))
    accepted = json.loads(run_curl(upload, iris, tmp_path))
    _, shown = (json.loads(block) for block in blocks("json"))
    assert list(accepted) == list(shown)
    for field in ("rows", "status"):
        assert accepted[field] == shown[field]
    iris.poll(f"/results/{accepted['id']}")
    (download,) = (block for block in blocks("sh") if block.startswith("curl localhost:8000/results/"))
    as_csv, as_parquet = download.strip().replace(shown["id"], accepted["id"]).splitlines()
    (result,) = blocks("csv")
    assert run_curl(as_csv, iris, tmp_path) == result
    run_curl(as_parquet, iris, tmp_path)
    fetched = parquet.read_table(tmp_path / "scored.parquet")
    assert scored.equals(fetched)
    assert fetched.to_pydict() == csv.read_csv(BytesIO(result.encode())).to_pydict()


def test_data_frame_is_scored_as_the_readme_shows(iris: Gateway) -> None:
    (program,) = (block for block in blocks("python") if "sepal_client" in block)
    names = {"frame": load_iris(as_frame=True).data[:2]}
    exec(program.replace("localhost:8000", f"127.0.0.1:{iris.port}"), names)
    assert list(names["scored"]["prediction"]) == [0, 0]


def test_bad_row_of_a_file_is_named_or_reported_and_carried_columns_are_taken_along(iris: Gateway) -> None:
    columns = "customer,sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
    content = f"{columns}\nAnna,4.8,3,1.4,0.3\nBen,2,1,much,1.1\n"
    client, headers = iris.client, {"Content-Type": "text/csv"}
    refused = client.post("/predictions?carry=customer", content=content, headers=headers)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/data/1/petal length (cm)"
    assert error["detail"].startswith("Line 3, column petal length (cm): ")
    query = "?carry=customer&on_error=report"
    accepted = client.post(f"/predictions{query}", content=content, headers=headers)
    location = accepted.headers["Location"]
    iris.poll(location)
    rows = list(DictReader(StringIO(client.get(location, headers={"Accept": "text/csv"}).text)))
    assert [(row["customer"], row["prediction"], bool(row["error"])) for row in rows] == [
        ("Anna", "0", False),
        ("Ben", "", True),
    ]


def test_pipeline_of_the_readme_is_saved_and_served_as_shown(tmp_path: Path) -> None:
    (program,) = (block for block in blocks("python") if "training.artifact" in block)
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    (commands,) = (block for block in blocks("sh") if block.startswith("make run MODEL="))
    make, curl = commands.strip().splitlines()
    assert len(program.split("\n\n")[-1].splitlines()) + len(commands.splitlines()) <= 15
    with Run(tmp_path, None, model=make.partition("MODEL=")[2]) as run:
        run.wait_until_ready()
        answer = json.loads(run_curl(curl, run.gateway))
        assert f'"prediction":{json.dumps(answer["prediction"])}' in README
        misspelt = json.loads(run_curl(curl.replace("island", "isle"), run.gateway))
    (shown,) = (json.loads(block) for block in blocks("text"))
    assert shown in misspelt["errors"]


def test_pickle_of_the_readme_becomes_a_model(tmp_path: Path) -> None:
    (commands,) = (block for block in blocks("sh") if " -m training card model.joblib" in block)
    command, _, model = commands.strip().partition("\nmake run MODEL=")
    iris = load_iris(as_frame=True)
    joblib.dump(LogisticRegression(max_iter=1000).fit(iris.data, iris.target), tmp_path / "model.joblib")
    iris.frame.to_parquet(tmp_path / "rows.parquet")
    python, *arguments = command.split()
    assert python == ".venv/bin/python"
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, check=True)
    assert {path.name for path in (tmp_path / "models" / model / "3").iterdir()} == {
        "card.json",
        "pipeline.joblib",
        "requirements.txt",
    }


def test_trees_of_the_readme_become_a_model(tmp_path: Path) -> None:
    (commands,) = (block for block in blocks("sh") if " -m training card trees.skops" in block)
    command, serve = commands.strip().splitlines()
    iris = load_iris()
    forest = make_pipeline(SimpleImputer(), RandomForestClassifier(3)).fit(iris.data, iris.target)
    skops.io.dump(forest, tmp_path / "trees.skops")
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    python = [sys.executable, *command.split()[1:]]
    done = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert f"serve it: {serve}/1" in done.stdout


def test_mlflow_model_of_the_readme_becomes_a_model(tmp_path: Path, mlflow_models: Path) -> None:
    (command,) = (block for block in blocks("sh") if " import-mlflow " in block)
    python, *arguments = command.split()
    assert python == ".venv/bin/python"
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    shutil.copytree(mlflow_models / "signature", tmp_path / "mlflow-model")
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b"guessed from the signature" in done.stdout
    assert (tmp_path / "models" / "fraud" / "1" / "pipeline.skops").exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)`", README))))
def test_every_command_of_the_readme_exists(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_code_is_in_the_reference_with_its_status() -> None:
    listed = re.findall(r"(?m)^\| (\d{3}) \| `([a-z-]+)` \|", (ROOT / "docs/http.md").read_text())
    assert {(str(status.value), code) for code, status in STATUS_BY_CODE.items()} == set(listed)


def test_every_setting_named_in_the_documentation_exists() -> None:
    reference = (ROOT / "docs/configuration.md").read_text()
    composed = re.findall(r"(?m)^#(SEPAL_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text())
    pages = [README, *(path.read_text() for path in (ROOT / "docs").glob("*.md"))]
    for variable in {name for page in pages for name in re.findall(r"SEPAL_[A-Z0-9_]+", page)} - {
        "SEPAL_URL",
        *composed,
    }:
        assert f"`{variable}`" in reference


def test_links_of_the_documentation_lead_to_existing_files() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)
