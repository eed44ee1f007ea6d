"""The pages that people look at, in a real browser: the documentation and Flower."""

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.run import Run

# No sandbox for a root user; and nothing that a browser would ask the outside world at its start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        missing = "these tests need chromium on the PATH"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test on any error of its own and on any request that leaves this machine."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if _is_outside(request.url) else None)
    yield page
    page.close()
    assert faults == []


def test_example_of_the_documentation_works_when_tried_out(run: Run, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{run.gateway.port}/docs")
    operation = page.locator("#operations-predictions-predict_predict_post")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    body = json.loads(answer.locator("pre code").first.inner_text())
    assert body["status"] == "succeeded"
    assert len(body["prediction"]) == len(run.gateway.client.get("/model").json()["example"])


def test_flower_shows_the_worker_online_and_the_batch_succeeded(run: Run, page: Page) -> None:
    run.gateway.predict([[4.8, 3, 1.4, 0.3]])
    page.goto(f"http://127.0.0.1:{run.flower_port}/workers")
    row = page.locator("#workers-table tbody tr", has_text="worker-").first
    expect(row).to_contain_text("Online", ignore_case=True)
    page.goto(f"http://127.0.0.1:{run.flower_port}/tasks")
    expect(page.locator("#tasks-table tbody tr", has_text="sepal.predict_batch").first).to_contain_text("SUCCESS")


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
