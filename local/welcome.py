"""Waits until the gateway is ready, then prints the addresses of all programs."""

import json
import shlex
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from local.logs import log_excerpt, log_path
from local.settings import LocalSettings
from shared.card import ModelCard

_TIMEOUT_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.1
_REPORT_SECONDS: Final = 15

SHOW_PASSWORD: Final = "--show-password"  # noqa: S105 - an option
"""The option to print Flower's generated password."""


def main() -> None:
    """Print the addresses and an example request or, if the gateway is not ready after five minutes, the last logs."""
    settings = LocalSettings()
    host = "127.0.0.1" if settings.api_host == "0.0.0.0" else settings.api_host
    gateway = f"http://{host}:{settings.api_port}"
    began = reported = time.monotonic()
    while reasons := _not_ready_reasons(gateway):
        now = time.monotonic()
        if now - reported > _REPORT_SECONDS:
            reported = now
            waited = f"{now - began:.0f} s"
            print(f"sepal: not ready after {waited}: {reasons} Logs: {settings.supervisor_dir}", flush=True)
        if now - began > _TIMEOUT_SECONDS:
            print(_last_log_lines(settings), flush=True)
            return
        time.sleep(_POLL_SECONDS)
    print(_welcome_message(gateway, settings), flush=True)


def _last_log_lines(settings: LocalSettings) -> str:
    logs = {name: log_excerpt(log_path(settings.supervisor_dir, name)) for name in ("worker", "gateway")}
    output = "\n".join(f"sepal: last output of the {name}:\n{lines}" for name, lines in logs.items())
    return f"{output}\nsepal: no longer waiting for readiness. Ctrl-C stops everything."


def _not_ready_reasons(gateway_url: str) -> str:
    """Return the reasons why the gateway is not ready; empty if it is."""
    try:
        with urllib.request.urlopen(f"{gateway_url}/readyz", timeout=2):
            return ""
    except urllib.error.HTTPError as error:
        reasons = json.load(error).get("reasons", [])
        return " ".join(reason["detail"] for reason in reasons)
    except OSError as error:
        return f"the gateway does not respond ({error})."


def _welcome_message(gateway_url: str, settings: LocalSettings) -> str:
    # Unlike /readyz, it is requested once.
    with urllib.request.urlopen(f"{gateway_url}/model", timeout=60) as response:
        card = ModelCard.model_validate_json(response.read())
    rows = json.dumps({"data": card.example})
    note = (
        ""
        if card.data.rows
        else "\n  (The model was saved without its data: the values in this request are placeholders.)"
    )
    return f"""
Sepal serves {card.name} {card.version}.

  predictions  {gateway_url}/predict and, for files, {gateway_url}/predictions
  try it out   {gateway_url}/model and {gateway_url}/docs
  Flower       http://127.0.0.1:{settings.flower_port}  ({_flower_credentials(settings)})
  metrics      {gateway_url}/metrics and {_workers_metrics(settings)}
  broker       {_remove_password(settings.broker_url)}
  objects      {settings.environment["SEPAL_OBJECT_STORE_URL"]}
  logs         {settings.supervisor_dir}

  curl -X POST {gateway_url}/predict -H 'Content-Type: application/json' -d '{rows}'{note}
  {_sepal_command()} predict --url {gateway_url} {_example_row_arguments(card)}
  {_sepal_command()} score --url {gateway_url} FILE.csv -o scored.parquet

Ctrl-C stops everything.
"""


def _sepal_command() -> str:
    """Return the path of the command `sepal`, relative to the current folder if possible, quoted for a shell."""
    path = Path(sys.executable).with_name("sepal")
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _example_row_arguments(card: ModelCard) -> str:
    """Return the card's first example row as arguments of `sepal predict`; an empty argument is a missing value."""
    row = card.example[0]
    if isinstance(row, str):
        return f"--text={shlex.quote(row)}"
    return shlex.join("" if value is None else str(value) for value in row)


def _workers_metrics(settings: LocalSettings) -> str:
    ports = [settings.worker_http_port, *([] if settings.single_worker else [settings.bulk_worker_http_port])]
    return " and ".join(f"http://127.0.0.1:{port}/metrics" for port in ports)


def _flower_credentials(settings: LocalSettings) -> str:
    generated = SHOW_PASSWORD in sys.argv[1:]
    password = settings.flower_password.get_secret_value() if generated else "from SEPAL_FLOWER_PASSWORD"
    return f"user {settings.flower_user}, password {password}"


def _remove_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


if __name__ == "__main__":
    main()
