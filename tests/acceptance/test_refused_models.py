"""Workers, `/readyz` and `make run` report what is missing or wrong in a model, and do not execute it.

`make run` is started for a model that it judges itself, and for one that a worker and one that a pool process refuses:
it shows the worker's last lines, whatever they are.
"""

import importlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import numpy as np
import pytest

from shared.card import read_card
from shared.model_files import compute_file_digest
from shared.store.schema import Key
from tests.models import without_proof
from tests.run import Run
from tests.stack import Gateway, Stack, running_stack, wait_for
from training.artifact import save

_CODE = """\
from pathlib import Path

from tests.pipelines import SignClassifier

Path({imported!r}).touch()


class Marks(SignClassifier):
    def __setstate__(self, state):
        Path({unpickled!r}).touch()
        super().__setstate__(state)
"""


class Marked(NamedTuple):
    """Model directories whose code and pipeline write a file each when they are imported and loaded."""

    pickled: Path
    skops: Path
    files: tuple[Path, Path]

    def forget(self) -> None:
        """Remove the files."""
        for path in self.files:
            path.unlink(missing_ok=True)

    def written(self) -> list[str]:
        """Return the names of the files that exist."""
        return [path.name for path in self.files if path.exists()]


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("own_marks", None)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    folder = tmp_path_factory.mktemp("marked")
    imported, unpickled = folder / "imported", folder / "unpickled"
    code = folder / "own_marks.py"
    code.write_text(_CODE.format(imported=str(imported), unpickled=str(unpickled)))
    X = np.array([[-1.0, 0.0], [1.0, 0.0]])
    with importable(folder), patch("training.artifact.prove", without_proof):
        pipeline = importlib.import_module("own_marks").Marks().fit(X, [0, 1])
        pickled, skops = (
            save(
                pipeline,
                folder,
                name="marked",
                version=version,
                X=X,
                source="the tests",
                code=[code],
                as_skops=version == "skops",
                trusted_types=["own_marks.Marks"],
            )
            for version in ("pickled", "skops")
        )
    return Marked(pickled, skops, (imported, unpickled))


def alter_card(model_dir: Path, **members: object) -> None:
    card = json.loads((model_dir / "card.json").read_text())
    (model_dir / "card.json").write_text(json.dumps(card | members))


def need(**versions: str) -> Callable[[Path], None]:
    def alter(model_dir: Path) -> None:
        alter_card(model_dir, versions={name.replace("_", "-"): number for name, number in versions.items()})

    return alter


def alter_pipeline(model_dir: Path) -> None:
    with (model_dir / "pipeline.joblib").open("ab") as file:
        file.write(b"\0")


def truncate(model_dir: Path) -> None:
    path = model_dir / "pipeline.joblib"
    path.write_bytes(path.read_bytes()[:100])


def be_no_pickle(model_dir: Path) -> None:
    (model_dir / "pipeline.joblib").write_bytes(b"no pickle")
    alter_card(model_dir, digest=compute_file_digest(model_dir / "pipeline.joblib"))


def alter_code(model_dir: Path) -> None:
    with (model_dir / "code" / "own_marks.py").open("a") as file:
        file.write("# altered\n")


def alter_requirements(model_dir: Path) -> None:
    (model_dir / "requirements.txt").write_text("")


def remove_code(model_dir: Path) -> None:
    (model_dir / "code" / "own_marks.py").unlink()


def add_code(model_dir: Path) -> None:
    shutil.copy(model_dir / "code" / "own_marks.py", model_dir / "code" / "sitecustomize.py")


def take_a_name_of_sepal(model_dir: Path) -> None:
    shutil.move(model_dir / "code" / "own_marks.py", model_dir / "code" / "shared.py")
    files = read_card(model_dir).files
    alter_card(model_dir, files={"code/shared.py": files["code/own_marks.py"]})


def save_without_code(model_dir: Path) -> None:
    shutil.rmtree(model_dir / "code")
    alter_card(model_dir, files={})


def make_schema_2(model_dir: Path) -> None:
    alter_card(model_dir, schema=2)


def leave_untrusted(_: Path) -> None:
    """The settings of the worker name no types."""


Damage = tuple[Callable[[Path], None], str, list[str], str]

SEEN_BY_MAKE_RUN: list[Damage] = [
    (
        need(no_such_distribution="4.6.0", numpy="1.26.4"),
        "artifact-incompatible",
        ["-m pip install no-such-distribution==4.6.0 numpy==1.26.4", "was made with"],
        "install no-such-distribution==4.6.0 numpy==1.26.4",
    ),
    (
        be_no_pickle,
        "artifact-unloadable",
        ["cannot load this model"],
        "See the traceback in the worker's log",
    ),
]
SEEN_BY_THE_WORKER: list[Damage] = [
    (
        leave_untrusted,
        "artifact-untrusted",
        ["types that are not trusted: own_marks.Marks"],
        "types that are not trusted: own_marks.Marks. If you trust them, add them to the worker's setting: "
        "SEPAL_TRUSTED_TYPES=own_marks.Marks",
    ),
    (
        need(no_such_distribution="4.6.0"),
        "artifact-incompatible",
        [],
        "no-such-distribution 4.6.0, but none is installed. Save it again with what is installed, or install "
        "no-such-distribution==4.6.0",
    ),
    (need(numpy="1.26.4"), "artifact-incompatible", ["was made with numpy 1.26.4, but 2"], "install numpy==1.26.4"),
    (
        need(scikit_learn="1.2.2"),
        "artifact-incompatible",
        ["was made with scikit-learn 1.2.2"],
        "install scikit-learn==1.2.2",
    ),
    (alter_pipeline, "artifact-altered", ["pipeline.joblib has the digest"], "restore both"),
    (truncate, "artifact-altered", ["pipeline.joblib has the digest"], "restore both"),
    (alter_code, "artifact-altered", ["own_marks.py has the digest"], "code/own_marks.py was replaced or damaged"),
    (alter_requirements, "artifact-altered", ["requirements.txt has the digest"], "requirements.txt was replaced"),
    (remove_code, "artifact-missing", ["own_marks.py cannot be read"], "code/own_marks.py is missing: restore"),
    (add_code, "artifact-altered", ["sitecustomize.py is not in the card"], "code/sitecustomize.py: remove it"),
    (
        take_a_name_of_sepal,
        "artifact-incompatible",
        ['"shared" is the name of a part of Sepal'],
        "Rename that module",
    ),
    (
        save_without_code,
        "artifact-unloadable",
        ["needs the module own_marks, which is not installed"],
        "If own_marks is your own, give it to `save`",
    ),
    (make_schema_2, "artifact-incompatible", ["does not have schema 3"], "Save the pipeline again"),
]


def readyz_details(gateway: Gateway) -> dict[str, str]:
    """Return why the gateway is not ready, by code; nothing while it does not answer."""
    try:
        answer: Any = gateway.client.get("/readyz").json()
    except httpx.TransportError:
        return {}
    return {reason["code"]: reason["detail"] for reason in answer.get("reasons", ())}


def has_no_worker(gateway: Gateway) -> bool:
    """Whether the gateway knows no reason but that no worker has run."""
    codes = readyz_details(gateway).keys()
    return "no-worker" in codes and codes <= {"no-worker", "model-unknown"}


def damaged(tmp_path: Path, marked: Marked, damage: Callable[[Path], None]) -> Path:
    """Return a damaged copy of a model directory."""
    source = marked.skops if damage is leave_untrusted else marked.pickled
    model_dir = Path(shutil.copytree(source, tmp_path / "model"))
    damage(model_dir)
    marked.forget()
    return model_dir


@pytest.fixture(scope="module")
def without_worker(tmp_path_factory: pytest.TempPathFactory, marked: Marked) -> Iterator[tuple[Stack, Gateway]]:
    """A broker and a gateway, for one worker after another."""
    stack = Stack(tmp_path_factory.mktemp("stack"), marked.pickled)
    try:
        stack.start_broker()
        yield stack, stack.start_gateway()
    finally:
        stack.stop()


@pytest.mark.parametrize(("damage", "code", "shown", "remedy"), SEEN_BY_THE_WORKER)
def test_worker_refuses_a_model_before_anything_of_it_is_run(
    tmp_path: Path,
    marked: Marked,
    without_worker: tuple[Stack, Gateway],
    damage: Callable[[Path], None],
    code: str,
    shown: list[str],
    remedy: str,
) -> None:
    stack, gateway = without_worker
    stack.redis.delete(Key.LOAD_FAILURE)
    (stack.folder / "worker.log").unlink(missing_ok=True)
    wait_for(lambda: has_no_worker(gateway), "a gateway without the reason of another test")
    worker = stack.start_worker(model_dir=damaged(tmp_path, marked, damage))
    detail = wait_for(lambda: readyz_details(gateway).get(code), "the reason in /readyz")
    assert remedy in detail
    assert str(tmp_path) not in detail
    worker.wait()
    log = worker.log.read_text()
    assert [each for each in [*shown, remedy] if each not in log] == []
    assert marked.written() == []


@pytest.mark.parametrize(("damage", "code", "shown", "remedy"), SEEN_BY_MAKE_RUN)
def test_make_run_shows_why_a_model_is_refused_before_anything_of_it_is_run(
    tmp_path: Path, marked: Marked, damage: Callable[[Path], None], code: str, shown: list[str], remedy: str
) -> None:
    model_dir = damaged(tmp_path, marked, damage)
    with Run(tmp_path / "run", model_dir) as run:
        wait_for(lambda: "sepal: the worker exited" in run.log, "the report on the terminal")
        wait_for(lambda: f"Full log: {run.log_of('worker')}" in run.log, "the path of the log")
        assert [each for each in shown if each not in run.log] == []
        assert "sepal: the worker exited (exit status 1" in run.log
        detail = wait_for(lambda: readyz_details(run.gateway).get(code), "the reason in /readyz")
        assert remedy in detail
        assert remedy in run.log
        assert str(tmp_path) not in detail
        assert "Sepal serves" not in run.log
        run.stop(signal.SIGINT)
    assert marked.written() == []


@pytest.mark.parametrize("kind", ["pickled", "skops"])
def test_undamaged_model_is_loaded(tmp_path: Path, marked: Marked, kind: str) -> None:
    marked.forget()
    model_dir: Path = getattr(marked, kind)
    with running_stack(tmp_path, model_dir, trusted_types="own_marks.Marks") as (_, gateway):
        assert gateway.predict([[3, 0]]).json()["prediction"] == [1]
    assert marked.written() == ["imported", "unpickled"]
    assert not list(model_dir.rglob("__pycache__"))
