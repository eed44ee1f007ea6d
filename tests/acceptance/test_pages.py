"""The API documentation and Flower's pages, in a browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from shared.ids import PredictionId, child_id
from tests.browser import Open
from tests.gates import Gates, save_gated
from tests.patience import patience
from tests.run import Run
from tests.stack import ROOT, clean_environment, free_port, listens, wait_for

GIVEN_PASSWORD = "a-given-password"
GATE = 100
INJECT = """() => new Promise((resolve) => {
  document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
  const script = document.createElement("script");
  script.textContent = "window.injected = true";
  document.body.append(script);
})"""


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Gates]:
    return save_gated(tmp_path_factory.mktemp("gated"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, gated: tuple[Path, Gates]) -> Iterator[Run]:
    """A `make run` with a gated pipeline and a given password for Flower."""
    with Run(tmp_path_factory.mktemp("run"), gated[0], flower_password=GIVEN_PASSWORD) as running:
        yield running.wait_until_ready()


def test_example_in_the_api_documentation_works(run: Run, open_page: Open) -> None:
    page = open_page()
    page.goto(f"http://127.0.0.1:{run.gateway.port}/docs")
    operation = page.locator("#operations-predictions-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table .response").first
    expect(response.locator(".response-col_status")).to_contain_text("200")
    body = json.loads(response.locator("pre code").first.inner_text())
    assert body["status"] == "succeeded"
    assert len(body["prediction"]) == len(run.gateway.client.get("/model").json()["example"])


def test_redoc_shows_every_operation_and_searches_them(run: Run, open_page: Open) -> None:
    page = open_page()
    page.goto(f"http://127.0.0.1:{run.gateway.port}/redoc")
    for summary in ("Predict rows", "Cancel a prediction", "Get the model card"):
        expect(page.get_by_role("heading", name=summary)).to_be_visible()
    page.get_by_placeholder("Search...").fill("dead letter")  # in a web worker
    expect(page.get_by_role("search").get_by_text("Discard a dead letter")).to_be_visible()


@pytest.mark.parametrize("path", ["docs", "redoc"])
def test_policy_of_the_documentation_stops_a_foreign_script(run: Run, browser: Browser, path: str) -> None:
    with browser.new_page() as page:
        page.goto(f"http://127.0.0.1:{run.gateway.port}/{path}")
        assert page.evaluate(INJECT) == "script-src-elem"


def test_flower_shows_the_worker_online_and_queue_size_state_and_time_of_every_batch(run: Run, open_page: Open) -> None:
    worker_name(run)  # Flower receives events
    small = PredictionId.parse(run.gateway.predict([[1, 0]] * 12).json()["id"]).batch_id
    large = PredictionId.parse(run.gateway.predict([[1, 0]] * 1500).json()["id"]).batch_id
    shown = {
        small: "queue: interactive, rows: 12, predictions: 1",
        child_id(large, 0): "queue: bulk, rows: 1024, predictions: 1",
        child_id(large, 1): "queue: bulk, rows: 476, predictions: 1",
    }
    page = sign_in(run, open_page)
    expect(worker_row(page, worker_name(run))).to_contain_text("Online")
    wait_for_success(run, list(shown))
    page.goto(f"{url(run)}/tasks")
    for batch_id, size in shown.items():
        row = batch_row(page, batch_id)
        expect(row).to_contain_text(size)
        expect(row).to_contain_text("SUCCESS")
        expect(row).to_contain_text(re.compile(r"\d ms"))
    page.get_by_role("searchbox").fill("kwargs:queue=bulk kwargs:rows=476")
    expect(batch_row(page, small)).to_have_count(0)
    expect(batch_row(page, child_id(large, 1))).to_have_count(1)


def test_flower_shows_both_queues_and_the_details_of_a_batch_and_a_worker(run: Run, open_page: Open) -> None:
    worker_name(run)  # Flower receives events
    batch_id = PredictionId.parse(run.gateway.predict([[1, 0]]).json()["id"]).batch_id
    page = sign_in(run, open_page)
    page.goto(f"{url(run)}/broker")
    for queue in ("interactive", "bulk"):
        expect(page.locator("main")).to_contain_text(queue)
    wait_for_success(run, [batch_id])
    page.goto(f"{url(run)}/task/{batch_id}")
    expect(page.locator("main")).to_contain_text("rows: 1,")
    path = f"/worker/{worker_name(run)}"
    with run.flower() as flower:  # Flower has the page once the worker has sent its details
        wait_for(lambda: flower.get(path).status_code == 200, "the worker's page in Flower")
    page.goto(url(run) + path)
    expect(page.locator("main")).to_contain_text("Max concurrency")
    expect(page.get_by_role("button", name=re.compile("shut|restart|grow", re.IGNORECASE))).to_have_count(0)


def test_flower_shows_a_worker_as_busy_while_it_runs_a_batch(
    run: Run, gated: tuple[Path, Gates], open_page: Open
) -> None:
    page = sign_in(run, open_page)
    row = worker_row(page, worker_name(run))
    active = row.locator("td").nth(2)
    expect(active).to_have_text("0")
    with gated[1].closed(GATE):
        submitted = run.gateway.predict([[1, GATE]], prefer="respond-async")
        batch_id = PredictionId.parse(submitted.json()["id"]).batch_id
        expect(active).to_have_text("1")
        page.goto(f"{url(run)}/tasks")
        expect(batch_row(page, batch_id)).to_contain_text("STARTED")
    wait_for_success(run, [batch_id])
    page.reload()
    expect(batch_row(page, batch_id)).to_contain_text(re.compile(r"\d\.\d+ m?s"))
    page.goto(f"{url(run)}/workers")
    expect(active).to_have_text("0")


def test_killed_worker_is_offline_in_flower_and_then_removed(run: Run, open_page: Open) -> None:
    name = worker_name(run)
    page = sign_in(run, open_page)
    row = worker_row(page, name)
    expect(row).to_contain_text("Online")
    run.child("worker").kill()
    expect(row).to_contain_text("Offline")
    expect(row).to_have_count(0)
    expect(worker_row(page, worker_name(run))).to_contain_text("Online")


def test_flower_requires_its_password_and_is_read_only(run: Run) -> None:
    wait_for(lambda: listens(run.flower_port), "Flower")
    with httpx.Client(base_url=url(run), timeout=patience()) as client:
        for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
            assert client.get(path).status_code == 401
            assert client.get(path, auth=("sepal", "another")).status_code == 401
        assert client.post(f"/api/worker/shutdown/{worker_name(run)}").status_code == 401
        assert client.get("/healthcheck").text == "OK"
    with run.flower() as flower:
        assert flower.post(f"/api/worker/shutdown/{worker_name(run)}").status_code == 403
        assert flower.post("/api/task/send-task/sepal.predict_batch", json={"args": ["any"]}).status_code == 403


def test_given_password_is_neither_printed_nor_in_a_command_line(run: Run) -> None:
    assert GIVEN_PASSWORD not in run.log
    assert not [line for line in run.command_lines() if GIVEN_PASSWORD in line]


@pytest.mark.parametrize("password", [{}, {"flower_password": ""}])
def test_flower_without_a_password_does_not_start_and_names_the_setting(password: dict[str, str]) -> None:
    configuration = ROOT / "deploy" / "flower" / "flowerconfig.py"
    done = subprocess.run(
        [sys.executable, "-m", "celery", "flower", f"--conf={configuration}", f"--port={free_port()}"],
        cwd=ROOT,
        env=clean_environment(**password),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SEPAL_FLOWER_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def url(run: Run) -> str:
    return f"http://127.0.0.1:{run.flower_port}"


def sign_in(run: Run, open_page: Open) -> Page:
    """Open Flower's first page, the workers."""
    user, password = run.flower_credentials
    page = open_page(http_credentials={"username": user, "password": password})
    wait_for(lambda: listens(run.flower_port), "Flower")
    page.goto(url(run))
    return page


def worker_name(run: Run) -> str:
    """Return the name of the only live worker for interactive batches in Flower."""

    def name() -> str | None:
        with run.flower() as flower:
            shown = flower.get("/workers?json=1").json()["data"]
        live = [row["hostname"] for row in shown if row["status"] and row["hostname"].startswith("worker-")]
        return live[0] if len(live) == 1 else None

    return wait_for(name, "one worker in Flower")


def wait_for_success(run: Run, batch_ids: list[str]) -> None:
    """Wait until Flower shows the batches as succeeded; its task page does not refresh itself."""
    with run.flower() as flower:
        wait_for(
            lambda: all("SUCCESS" in flower.get(f"/task/{batch_id}").text for batch_id in batch_ids),
            "the success of the batches in Flower",
        )


def worker_row(page: Page, name: str) -> Locator:
    return page.locator("#workers-table tbody tr", has_text=name)


def batch_row(page: Page, batch_id: str) -> Locator:
    return page.locator(f"#tasks-table tr[id='{batch_id}']")
