"""Starts one `make run` for all acceptance tests, and a browser for those of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import Open, launched, watched_pages
from tests.run import Run


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="package")
def run(folder: Path, iris_dir: Path) -> Iterator[Run]:
    with Run(folder, iris_dir) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    with watched_pages(browser) as open_page:
        yield open_page
