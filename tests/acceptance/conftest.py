"""The browser fixture of the acceptance tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import Open, launched, watched_pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    with watched_pages(browser) as open_page:
        yield open_page
