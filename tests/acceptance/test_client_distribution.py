"""The distribution `sepal-client`: built, installed into an empty environment, and type-checked as its users do."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.patience import longest_test
from tests.stack import ROOT, clean_environment
from tests.tools import skip_without

FOLDER = ROOT / "client"
PROGRAMS = ROOT / "tests/typing"
# As its users run it: with no settings of this repository, and where the client is installed.
MYPY = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-version=3.10")
PIP = ("-m", "pip", "--disable-pip-version-check")
BUILD = (*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation")


def run(*command: str | Path, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment without settings of Sepal."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=longest_test(),
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "--directory", folder, cwd=FOLDER)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def python_3_10() -> str | None:
    """Return the interpreter of Python 3.10, if this machine has one."""
    found = shutil.which("python3.10")
    program = "import sys; print(sys.executable)"
    # Where pyenv manages interpreters, `python3.10` is a command of its own that runs only what it is told to.
    pyenv = {"PYENV_VERSION": "3.10"}
    return run(found, "-c", program, cwd=ROOT, check=False, **pyenv).stdout.strip() or None if found else None


@pytest.fixture(scope="module", params=["python", "python3.10"])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the client, what it needs, and nothing else."""
    interpreter = sys.executable if request.param == "python" else python_3_10()
    if interpreter is None:
        pytest.skip("this test needs Python 3.10, which few distributions of Linux have")
    folder = tmp_path_factory.mktemp("environment")
    run(interpreter, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    install = (sys.executable, *PIP, "--python", python, "install", "--no-compile")
    locked = run(*install, "--require-hashes", "-r", FOLDER / "requirements.txt", cwd=folder, check=False)
    if "Failed to establish a new connection" in locked.stderr:
        skip_without("a package index")
    assert locked.returncode == 0, locked.stderr
    run(*install, "--no-index", "--no-deps", wheel, cwd=folder)
    return python


def package_files() -> set[str]:
    return {
        str(path.relative_to(FOLDER))
        for path in (FOLDER / "sepal_client").rglob("*")
        if path.suffix in {".py", ".typed"}
    }


def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    metadata = {f"sepal_client-0.1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert "sepal_client/py.typed" in files
    assert files == package_files() | metadata


def test_source_distribution_gives_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert files == package_files() | {".gitignore", "PKG-INFO", "README.md", "pyproject.toml"}
    run(sys.executable, *BUILD, "--wheel-dir", tmp_path, sdist, cwd=tmp_path)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_metadata_names_license_python_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read("sepal_client-0.1.0.dist-info/METADATA").decode())
        commands = archive.read("sepal_client-0.1.0.dist-info/entry_points.txt").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "sepal = sepal_client.cli.app:main" in commands


def test_locked_requirements_satisfy_the_wheel(python: Path, tmp_path: Path) -> None:
    run(sys.executable, *PIP, "--python", python, "check", cwd=tmp_path)


def test_command_and_every_module_work_without_numerics(python: Path, tmp_path: Path) -> None:
    assert "score" in run(python.parent / "sepal", "--help", cwd=tmp_path).stdout
    program = """
import importlib, importlib.util, pkgutil, sepal_client
for module in pkgutil.walk_packages(sepal_client.__path__, "sepal_client."):
    importlib.import_module(module.name)
present = [name for name in ("numpy", "pandas", "polars", "pyarrow") if importlib.util.find_spec(name)]
assert not present, present
assert all(hasattr(sepal_client, name) for name in sepal_client.__all__)
"""
    run(python, "-W", "error", "-c", program, cwd=tmp_path)


@pytest.mark.parametrize("python", ["python"], indirect=True)
def test_programs_of_users_pass_strict_mypy(python: Path, tmp_path: Path) -> None:
    programs = (PROGRAMS / "sync.py", PROGRAMS / "asynchronous.py")
    run(*MYPY, "--python-executable", python, *programs, cwd=tmp_path)
