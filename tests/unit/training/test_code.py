"""Own code is copied into the model directory with its digests; a worker verifies it and imports it from there."""

import py_compile
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from shared import own_code
from shared.card import read_card
from shared.errors import ArtifactAltered, ArtifactIncompatible, ArtifactMissing, CannotServe
from tests.own_code import IRIS, fitted, write_code
from tests.preloaded import start as preloaded
from tests.stack import ROOT, clean_environment, run_module
from training.artifact import save
from training.code import copy_code
from worker.pool.artifact import verify

_LOAD = """\
import sys; from pathlib import Path
from worker.pool.predictor import Predictor
predictor = Predictor.load(Path(sys.argv[1]))
predictor.warm_up()
print(sys.modules["own_features"].__file__, sys.modules["own_package.table"].__cached__)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with own code; no test may change it."""
    folder = tmp_path_factory.mktemp("own")
    code = write_code(folder / "src")
    with fitted(folder / "src") as pipeline:
        py_compile.compile(str(code[0]))
        return save(pipeline, folder, name="own", version="1", X=IRIS.data, source="the tests", code=code)


@pytest.fixture
def model_dir(saved: Path, tmp_path: Path) -> Path:
    """A copy of the model directory, for a test to damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def load(model_dir: Path) -> subprocess.CompletedProcess[str]:
    """Load and warm up a model in another process, as a pool process does."""
    command = [sys.executable, "-c", _LOAD, str(model_dir)]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)


def test_card_has_the_digests_of_code_and_requirements(saved: Path) -> None:
    card = read_card(saved)
    assert set(card.files) == {
        "requirements.txt",
        "code/own_features.py",
        "code/own_package/__init__.py",
        "code/own_package/factor.txt",
        "code/own_package/table.py",
    }
    assert "own-package" not in card.versions
    assert "joblib" in card.versions  # imported by the code when it predicts


def test_parent_process_imports_no_code(saved: Path) -> None:
    path = list(sys.path)
    assert verify(saved) == read_card(saved)
    assert sys.path == path
    assert "own_features" not in sys.modules


def test_code_is_imported_from_the_model_directory_which_may_be_read_only(model_dir: Path) -> None:
    folders = [path for path in [model_dir, *model_dir.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    done = load(model_dir)
    for folder in folders:
        folder.chmod(0o755)
    assert str(model_dir / "code" / "own_features.py") in done.stdout, done.stderr
    assert not list(model_dir.rglob("__pycache__"))


def test_bytecode_in_the_code_is_not_read(model_dir: Path, tmp_path: Path) -> None:
    stale = tmp_path / "stale.py"
    stale.write_text("raise SystemExit('stale bytecode was run')")
    module = model_dir / "code" / "own_features.py"
    cached = Path(py_compile.compile(str(stale), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH) or "")
    (module.parent / "__pycache__").mkdir()
    cached.rename(module.parent / "__pycache__" / cached.name.replace("stale", "own_features"))
    done = load(model_dir)
    assert done.returncode == 0, done.stderr


def test_module_that_is_altered_after_the_check_is_not_imported(model_dir: Path) -> None:
    card = read_card(model_dir)
    (model_dir / "code" / "own_features.py").write_text("raise SystemExit('altered code was run')")
    program = (
        "import sys; from pathlib import Path; from shared.card import read_card; from shared import own_code\n"
        "folder = Path(sys.argv[1]); own_code.make_importable(folder, read_card(folder).files)\n"
        "import own_features"
    )
    command = [sys.executable, "-c", program, str(model_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "own_features.py was altered after it was checked" in done.stderr
    assert card.files["code/own_features.py"]


def alter(model_dir: Path) -> None:
    (model_dir / "code" / "own_package" / "factor.txt").write_text("3")


def alter_requirements(model_dir: Path) -> None:
    (model_dir / "requirements.txt").write_text("")


def add(model_dir: Path) -> None:
    (model_dir / "code" / "joblib_extra.py").touch()


def link(model_dir: Path) -> None:
    (model_dir / "code" / "linked").symlink_to(model_dir)


def remove(model_dir: Path) -> None:
    (model_dir / "code" / "own_package" / "factor.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "error", "reason"),
    [
        (alter, ArtifactAltered, "code/own_package/factor.txt was replaced or damaged: restore"),
        (alter_requirements, ArtifactAltered, "requirements.txt was replaced or damaged"),
        (add, ArtifactAltered, "does not name the file code/joblib_extra.py: remove it"),
        (link, ArtifactAltered, "does not name the file code/linked: remove it"),
        (remove, ArtifactMissing, "code/own_package/factor.txt is missing"),
    ],
)
def test_code_that_differs_from_the_card_is_refused(
    model_dir: Path, damage: Callable[[Path], None], error: type[Exception], reason: str
) -> None:
    damage(model_dir)
    with pytest.raises(error, match=reason):
        verify(model_dir)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("worker", "a part of Sepal"),
        ("json", "a module of Python"),
        ("kombu", "a module of kombu, which Sepal needs"),  # which Celery requires
        ("own-code", "not a name that Python can import"),
    ],
)
def test_name_of_another_module_is_refused_by_save_and_by_the_worker(
    saved: Path, tmp_path: Path, name: str, reason: str
) -> None:
    module = tmp_path / f"{name}.py"
    module.touch()
    with pytest.raises(CannotServe, match=f"{reason}.*Rename it"):
        copy_code([module], tmp_path / "saved")
    model_dir = Path(shutil.copytree(saved, tmp_path / "model"))
    card = read_card(model_dir)
    (model_dir / "code" / module.name).touch()
    files = card.files | {f"code/{module.name}": card.files["code/own_package/__init__.py"]}
    (model_dir / "card.json").write_text(card.model_copy(update={"files": files}).model_dump_json())
    with pytest.raises(ArtifactIncompatible, match=f"{reason}.*Rename that module"):
        verify(model_dir)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.txt").touch()
    (tmp_path / "empty").mkdir()
    for path in ("data.txt", "empty", "absent.py"):
        with pytest.raises(CannotServe, match=f"{path} is neither a Python module nor a package"):
            copy_code([tmp_path / path], tmp_path / "model")


def test_two_modules_with_one_name_are_refused(tmp_path: Path) -> None:
    code = write_code(tmp_path / "src")
    (tmp_path / "own_package.py").touch()
    with pytest.raises(CannotServe, match="two modules called own_package"):
        copy_code([*code, tmp_path / "own_package.py"], tmp_path / "model")


def test_module_that_the_code_needs_and_lacks_is_named_by_save(tmp_path: Path) -> None:
    code = write_code(tmp_path / "src")
    with (
        fitted(tmp_path / "src") as pipeline,
        pytest.raises(CannotServe, match=r"needs the module own_package.*give it to `save`.*the distribution that"),
    ):
        save(pipeline, tmp_path, name="own", version="1", X=IRIS.data, source="the tests", code=code[:1])


def test_command_line_takes_code(tmp_path: Path) -> None:
    code = write_code(tmp_path / "src")
    with fitted(tmp_path / "src") as pipeline:
        joblib.dump(pipeline, tmp_path / "own.joblib")
    arguments = [
        "card",
        tmp_path / "own.joblib",
        "--name=own",
        "--version=1",
        f"--models-dir={tmp_path}",
    ]

    def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
        return run_module("training", *arguments, *options, python=preloaded.client())

    refused = run()
    assert "own.joblib needs the module own_features" in refused.stderr
    done = run("--code", *code)
    assert done.returncode == 0, done.stderr
    assert "code/own_features.py" in read_card(tmp_path / "own" / "1").files


def test_names_that_code_cannot_have_are_those_of_this_repository() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {path.stem for path in ROOT.glob("*.py")}
    assert packages <= own_code.SEPAL_MODULES
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["worker"]
    names = {re.split(r"[^A-Za-z0-9._-]", each)[0] for each in wanted}
    assert names <= own_code.WORKER_DISTRIBUTIONS
