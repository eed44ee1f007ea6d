"""Takes the README's screenshot of Flower: the task list, after predictions of several sizes.

    python -m tools.flower_screenshot

A worker's name contains the host name. Therefore the script restarts itself in a UTS namespace (`unshare`, from
util-linux) with the host name `sepal`; it starts Sepal as `make run` does. Requires Chromium and wrk.
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
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.workload import ROOT, Workload

_PATH: Final = ROOT / "docs" / "flower.png"
_HOST: Final = "sepal"
_CHROMIUM_FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
_WINDOW_SIZE: Final = (1400, 700)
_CONNECTIONS: Final = 32  # enough for predictions to share batches
_ROW_COUNTS: Final = (1, 12, 300, 1, 2500)  # predictions that are sent one by one


def main() -> None:
    """Start Sepal, send predictions, and take the screenshot."""
    if socket.gethostname() != _HOST:
        command = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", f'hostname {_HOST} && exec "$@"', "-"]
        os.execvp(command[0], [*command, sys.executable, "-m", "tools.flower_screenshot"])  # noqa: S606
    password = os.environ["SEPAL_FLOWER_PASSWORD"] = secrets.token_urlsafe()
    workload = Workload.load()
    folder = environments.FOLDER / "run" / "flower-screenshot"
    with Running(SEPAL, environments.ensure_interpreter(SEPAL), folder, workload) as running:
        put_load(running.url, running.bodies(1), _CONNECTIONS, 1)
        for n_rows in _ROW_COUNTS:
            running.check_results(n_rows)
        _take_screenshot(f"http://127.0.0.1:{running.site.other_ports[0]}", password)
    print(f"wrote {_PATH} ({_PATH.stat().st_size} bytes)")


def _take_screenshot(url: str, password: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise CannotMeasure("no browser found: install chromium")
    _wait_until_all_succeeded(url, password)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_FLAGS)
        page = browser.new_page(
            viewport={"width": _WINDOW_SIZE[0], "height": _WINDOW_SIZE[1]},
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
