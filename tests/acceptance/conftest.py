"""Starts one `make run` for all acceptance tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run import Run


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="package")
def run(folder: Path, iris_dir: Path) -> Iterator[Run]:
    with Run(folder, iris_dir) as running:
        yield running.wait_until_ready()
