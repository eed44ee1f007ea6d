"""Takes the README's picture of Flower: its page of batches, after a few predictions of different sizes.

    python -m tools.flower_picture

A worker's name contains the host's. So this starts itself anew in a UTS namespace (util-linux' `unshare`), whose host
is called sepal; everything else is as `make run` has it. Needs Chromium and wrk.
"""

import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

import httpx
from playwright.sync_api import expect, sync_playwright

from benchmarks.serving import environments
from benchmarks.serving.errors import CannotMeasure
from benchmarks.serving.load import put_load
from benchmarks.serving.question import ROOT, Question
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL

_PATH: Final = ROOT / "docs" / "flower.png"
_HOST: Final = "sepal"
_FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_SIZE: Final = (1400, 700)
_PEOPLE: Final = 32  # who share batches
_ALONE: Final = (1, 12, 300, 1, 2500)


def main() -> None:
    """Start Sepal, ask it, and take the picture."""
    if socket.gethostname() != _HOST:
        command = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", f'hostname {_HOST} && exec "$@"', "-"]
        os.execvp(command[0], [*command, sys.executable, "-m", "tools.flower_picture"])  # noqa: S606
    password = os.environ["SEPAL_FLOWER_PASSWORD"] = secrets.token_urlsafe()
    question = Question.load()
    folder = environments.FOLDER / "run" / "flower-picture"
    with Running(SEPAL, environments.interpreter(SEPAL), folder, question) as running:
        put_load(running.url, SEPAL.body(question.rows(1)), _PEOPLE, 1)
        for n_rows in _ALONE:
            running.check(n_rows)
        _take(f"http://127.0.0.1:{running.site.other_ports[0]}", password)
    print(f"wrote {_PATH} ({_PATH.stat().st_size} bytes)")


def _take(url: str, password: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise CannotMeasure("there is no browser: install chromium")
    _wait_until_all_succeeded(url, password)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        page = browser.new_page(
            viewport={"width": _SIZE[0], "height": _SIZE[1]},
            http_credentials={"username": "sepal", "password": password},
        )
        page.goto(f"{url}/tasks")
        expect(page.locator("#tasks-table tbody tr").first).to_contain_text("SUCCESS")
        page.screenshot(path=_PATH)
        browser.close()


def _wait_until_all_succeeded(url: str, password: str) -> None:
    while True:
        states: Sequence[str] = [
            task["state"]
            for task in httpx.get(f"{url}/api/tasks", auth=("sepal", password)).raise_for_status().json().values()
        ]
        if states and set(states) == {"SUCCESS"}:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
