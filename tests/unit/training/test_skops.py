"""skops files are served without unpickling; the types that they may contain are a setting of the worker."""

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from skops import io

from shared.card import read_card
from shared.errors import ArtifactUntrusted, CannotServe
from shared.model_files import compute_file_digest
from tests import pipelines
from tests.models import fit_svc
from tests.own_code import IRIS, fitted, write_code
from tests.preloaded import start as preloaded
from tests.stack import run_module
from training.artifact import save
from training.pipeline_file import save_pipeline_file
from worker.pool import artifact
from worker.settings import WorkerSettings

SIGNS = "tests.pipelines.SignClassifier"
SCALER = "own_features.Scaler"
X = np.array([[-1.0, 0.0], [1.0, 0.0]])


def save_signs(folder: Path, *trusted_types: str) -> Path:
    """Save a classifier of a type that skops does not trust."""
    signs = pipelines.SignClassifier().fit(X, [0, 1])
    return save(
        signs, folder, name="signs", version="1", X=X, source="the tests", as_skops=True, trusted_types=trusted_types
    )


def test_saved_file_of_skops_is_loaded(tmp_path: Path) -> None:
    pipeline, rows = fit_svc()
    model_dir = save(pipeline, tmp_path, name="svc", version="1", X=rows, source="the tests", as_skops=True)
    card, loaded = artifact.load(model_dir)
    assert card.artifact == "pipeline.skops"
    assert {path.name for path in model_dir.iterdir()} == {"card.json", "pipeline.skops", "requirements.txt"}
    assert {"skops", "scikit-learn", "numpy"} <= card.versions.keys()
    assert loaded.predict(rows).tolist() == pipeline.predict(rows).tolist()


def test_type_that_is_not_trusted_is_refused_by_save_and_by_the_worker(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=rf"{SIGNS}.*trusted_types=.*SEPAL_TRUSTED_TYPES={SIGNS}"):
        save_signs(tmp_path)
    assert not list(tmp_path.glob("*/[!.]*"))
    model_dir = save_signs(tmp_path, SIGNS)
    with pytest.raises(ArtifactUntrusted, match=rf"not trusted: {SIGNS}.*SEPAL_TRUSTED_TYPES={SIGNS}"):
        artifact.load(model_dir)
    with pytest.raises(ArtifactUntrusted, match=rf"SEPAL_TRUSTED_TYPES=any.Other,{SIGNS}\."):
        artifact.load(model_dir, ["any.Other"])
    _, loaded = artifact.load(model_dir, [SIGNS])
    assert loaded.predict(IRIS.data).tolist() == [1] * len(IRIS.data)


def test_list_of_types_in_the_artifact_is_not_trusted(tmp_path: Path) -> None:
    model_dir = save_signs(tmp_path, SIGNS)
    path = model_dir / "pipeline.skops"
    with zipfile.ZipFile(path) as file:
        schema = json.loads(file.read("schema.json"))
        members = {name: file.read(name) for name in file.namelist() if name != "schema.json"}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", json.dumps(schema | {"trusted": [SIGNS]}))
        file.writestr("trusted.json", json.dumps([SIGNS]))
        for name, content in members.items():
            file.writestr(name, content)
    card = read_card(model_dir).model_copy(update={"digest": compute_file_digest(path)})
    (model_dir / "card.json").write_text(card.model_dump_json())
    with pytest.raises(ArtifactUntrusted, match="not trusted"):
        artifact.load(model_dir)


def test_the_setting_is_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WorkerSettings().trusted_types == ()
    monkeypatch.setenv("SEPAL_TRUSTED_TYPES", " a.B, c.d.E ,")
    assert WorkerSettings().trusted_types == ("a.B", "c.d.E")


def test_command_line_takes_a_file_of_skops_with_own_code(tmp_path: Path) -> None:
    code = write_code(tmp_path / "src")
    with fitted(tmp_path / "src") as pipeline:
        io.dump(pipeline, tmp_path / "own.skops")
    arguments = [
        "card",
        tmp_path / "own.skops",
        "--name=own",
        "--version=1",
        f"--models-dir={tmp_path}",
    ]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return run_module("training", *arguments, "--code", *code, *options, python=preloaded.client())

    assert f"own.skops contains types that are not trusted: {SCALER}" in run().stderr
    done = run("--trust", SCALER)
    assert f"serve it: SEPAL_TRUSTED_TYPES={SCALER} make run MODEL=own/1" in done.stdout, done.stderr
    assert (tmp_path / "own" / "1" / "pipeline.skops").read_bytes() == (tmp_path / "own.skops").read_bytes()


def test_types_that_are_already_trusted_stay_in_the_remedy(tmp_path: Path) -> None:
    io.dump(make_pipeline(SimpleImputer(), DecisionTreeClassifier()).fit(X, [0, 1]), tmp_path / "tree.skops")
    with pytest.raises(CannotServe) as refused:
        save_pipeline_file(tmp_path / "tree.skops", tmp_path, name="tree", version="1", trusted_types=["numpy.dtype"])
    assert "--trust numpy.dtype sklearn.tree._tree.Tree on" in str(refused.value)
    assert "SEPAL_TRUSTED_TYPES=numpy.dtype,sklearn.tree._tree.Tree." in str(refused.value)


def test_file_that_is_not_of_skops_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.skops").write_bytes(b"no zip file")
    with pytest.raises(CannotServe, match=r"bad.skops cannot be loaded \(BadZipFile.*complete file"):
        save_pipeline_file(tmp_path / "bad.skops", tmp_path, name="bad", version="1")
