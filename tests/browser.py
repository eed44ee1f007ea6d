"""A real browser for tests; its fixtures are in `tests/acceptance/conftest.py`."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.patience import patience
from tests.tools import tool

# The sandbox does not work for root. The other options keep the browser from connecting to other machines at its start.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_ABORTED = "net::ERR_ABORTED"  # leaving a page aborts the request that it sends every second

Open = Callable[..., Page]
"""Opens a page with the options of playwright, and `statuses`: errors of HTTP that the test expects."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a browser; without one, skip the test, or fail it in CI."""
    chromium = tool("chromium", "google-chrome")
    with sync_playwright() as playwright:
        expect.set_options(timeout=_patience_ms())
        with playwright.chromium.launch(executable_path=chromium, args=_FLAGS, timeout=_patience_ms()) as browser:
            yield browser


@contextmanager
def watched_pages(browser: Browser) -> Iterator[Open]:
    """Open pages; the test fails on a page's error and on a request to another machine."""
    pages: list[Page] = []
    faults: list[str] = []

    def open_page(statuses: Collection[int] = (), **options: Any) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1600, "height": 900}, **options})
        page.set_default_timeout(_patience_ms())
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if _is_fault(line, statuses) else None)
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", lambda request: faults.append(request.url) if _is_outside(request.url) else None)
        page.on(
            "requestfailed",
            lambda request: faults.append(request.url) if request.failure != _ABORTED else None,
        )
        page.on(
            "response",
            lambda found: faults.append(found.url) if found.status >= 400 and found.status not in statuses else None,
        )
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []


def _is_fault(line: ConsoleMessage, statuses: Collection[int]) -> bool:
    return line.type == "error" and not any(f"with a status of {status}" in line.text for status in statuses)


def _patience_ms() -> float:
    """Return the time limit in milliseconds, as playwright takes it."""
    return patience() * 1000


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
