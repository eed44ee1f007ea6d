"""Options and fixtures for all tests: trained models, and stacks shared by a session."""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

from local import broker
from tests.models import locked, train_once
from tests.patience import DEFAULT_SECONDS, longest_test, set_patience
from tests.preloaded import start as preloaded
from tests.stack import (
    Gateway,
    Part,
    Stack,
    clean_environment,
    free_port,
    leftover_processes,
    listens,
    run_module,
    running_stack,
    wait_for,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-images", action="store_true", help="run the tests that build and run containers")
    patience = f"seconds that a test waits for one condition; default {DEFAULT_SECONDS:.0f}"
    parser.addoption("--patience", type=float, help=patience)
    parser.addoption("--new-processes", action="store_true", help="start every process anew, without preloading")
    parser.addoption("--machine-steps", type=int, help="steps of the state machine, random at each run")
    parser.addoption("--all-malformed", action="store_true", help="send every malformed upload to a gateway")
    parser.addoption("--exact-rows", type=int, help="rows of each family of models that are predicted one by one")


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads its option
def pytest_configure(config: pytest.Config) -> None:
    seconds = config.getoption("--patience")
    if seconds is not None:
        set_patience(seconds)
    # A busy machine is slow at anything; and a test that failed elsewhere is no example here.
    settings.register_profile("busy", deadline=None, database=None, suppress_health_check=list(HealthCheck))
    settings.load_profile("busy")
    if config.getoption("timeout") is None:
        config.option.timeout = longest_test()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the one server of preloaded processes of a run, in the process that starts those of pytest-xdist."""
    if "PYTEST_XDIST_WORKER" not in os.environ and not session.config.getoption("--new-processes"):
        stack = ExitStack()
        preloaded.publish(stack.enter_context(preloaded.running_server(*preloaded.MODULES)))
        session.config.add_cleanup(stack.close)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The longest test of all starts first, so that nothing waits for it at the end. The sort is stable.
    items.sort(key=lambda item: "machine" not in item.path.parts)
    if not config.getoption("--run-images"):
        kept = [item for item in items if item.get_closest_marker("images") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_collection_finish() -> None:
    """Exclude the imported modules from garbage collection, which runs after every test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def resources_are_closed() -> Iterator[None]:
    """Collect garbage after a test's other fixtures, so that an unclosed resource fails this test, not a later one."""
    yield
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def modules_keep_nothing_open() -> Iterator[None]:
    """Collect garbage after a module's other fixtures; what is left then, no test of a later module looks through."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def processes_are_stopped() -> Iterator[None]:
    """Set up before all other fixtures, and therefore torn down after them."""
    yield
    wait_for(lambda: not leftover_processes(), "the end of every process that the tests started")


@pytest.fixture(scope="session", autouse=True)
def proofs_are_preloaded() -> Iterator[None]:
    """Models are proved in new processes that need not import their libraries."""
    with patch("training.proof.PYTHON_COMMAND", preloaded.client()):
        yield


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def trained_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of trained recipes, which all processes of a run share; tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def mlflow_models(trained_dir: Path) -> Path:
    """The models of `tests.mlflow_models`, which all processes of a run share; tests must not change them."""
    folder = trained_dir / "mlflow"
    with locked(trained_dir / "mlflow.lock"):
        if not folder.exists():
            done = run_module("tests.mlflow_models", folder, python=preloaded.client())
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def iris_dir(trained_dir: Path) -> Path:
    return train_once(trained_dir, "iris")


@pytest.fixture(scope="session")
def breast_cancer_dir(trained_dir: Path) -> Path:
    with warnings.catch_warnings():
        return train_once(trained_dir, "breast-cancer")


@pytest.fixture(scope="session")
def penguins_dir(trained_dir: Path) -> Path:
    return train_once(trained_dir, "penguins")


@pytest.fixture(scope="session")
def iris_stack(tmp_path_factory: pytest.TempPathFactory, iris_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    with running_stack(tmp_path_factory.mktemp("iris"), iris_dir) as running:
        yield running


@pytest.fixture(scope="session")
def iris(iris_stack: tuple[Stack, Gateway]) -> Gateway:
    """A gateway that serves iris, for tests that do not change the stack."""
    return iris_stack[1]


@pytest.fixture(scope="session")
def iris_framework(iris_stack: tuple[Stack, Gateway]) -> Gateway:
    """A gateway of the same stack without the hot path: FastAPI handles every request."""
    return iris_stack[0].start_gateway("tests.framework").wait_until_ready()


@pytest.fixture(scope="session")
def breast_cancer(tmp_path_factory: pytest.TempPathFactory, breast_cancer_dir: Path) -> Iterator[Gateway]:
    """A gateway that serves breast-cancer."""
    with running_stack(tmp_path_factory.mktemp("breast-cancer"), breast_cancer_dir) as (_, gateway):
        yield gateway


@pytest.fixture(scope="session")
def penguins(tmp_path_factory: pytest.TempPathFactory, penguins_dir: Path) -> Iterator[Gateway]:
    """A gateway that serves penguins, which come in data frames."""
    with running_stack(tmp_path_factory.mktemp("penguins"), penguins_dir) as (_, gateway):
        yield gateway


@pytest.fixture
def stack(tmp_path: Path, iris_dir: Path) -> Iterator[Stack]:
    """A stack without any process, for one test."""
    stack = Stack(tmp_path, iris_dir)
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker, for tests of the store."""
    port, folder = free_port(), tmp_path_factory.mktemp("broker")
    part = Part("broker", broker.command(port, folder), clean_environment(), folder)
    try:
        wait_for(lambda: listens(port), "the broker")
        yield port
    finally:
        part.stop()
