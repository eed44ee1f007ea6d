"""Waits until predictions are answered, then says where everything is."""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Final

from local.logs import log_excerpt, log_file
from local.settings import LocalSettings
from shared.card import ModelCard

_PATIENCE_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.1
_REPORT_SECONDS: Final = 15

WITH_PASSWORD: Final = "--with-password"  # noqa: S105 - an option
"""Have Flower's password printed, which nobody knows yet."""


def main() -> None:
    """Print the addresses and one request that works; or, after five minutes, why there is none."""
    settings = LocalSettings()
    host = "127.0.0.1" if settings.api_host == "0.0.0.0" else settings.api_host
    gateway = f"http://{host}:{settings.api_port}"
    began = reported = time.monotonic()
    while reasons := _reasons(gateway):
        now = time.monotonic()
        if now - reported > _REPORT_SECONDS:
            reported = now
            where = f"The logs are in {settings.supervisor_dir}."
            print(f"sepal: not ready after {now - began:.0f} s: {reasons} {where}", flush=True)
        if now - began > _PATIENCE_SECONDS:
            print(_last_words(settings), flush=True)
            return
        time.sleep(_POLL_SECONDS)
    print(_welcome(gateway, settings), flush=True)


def _last_words(settings: LocalSettings) -> str:
    parts = {part: log_excerpt(log_file(settings.supervisor_dir, part)) for part in ("worker", "gateway")}
    said = "\n".join(f"sepal: the last lines of the {part}:\n{lines}" for part, lines in parts.items())
    return f"{said}\nsepal: waits no longer. Ctrl-C stops everything."


def _reasons(gateway: str) -> str:
    """Ask why the gateway is not ready; empty when it is."""
    try:
        with urllib.request.urlopen(f"{gateway}/readyz", timeout=2):
            return ""
    except urllib.error.HTTPError as error:
        reasons = json.load(error).get("reasons", [])
        return " ".join(reason["detail"] for reason in reasons)
    except OSError as error:
        return f"the gateway does not answer ({error})."


def _welcome(gateway: str, settings: LocalSettings) -> str:
    with urllib.request.urlopen(f"{gateway}/model", timeout=2) as response:
        card = ModelCard.model_validate_json(response.read())
    rows = json.dumps({"data": card.example})
    return f"""
Sepal serves {card.name} {card.version}.

  predictions  {gateway}/predict
  try it out   {gateway}/docs
  Flower       http://127.0.0.1:{settings.flower_port}  ({_credentials(settings)})
  metrics      {gateway}/metrics and http://127.0.0.1:{settings.worker_http_port}/metrics
  broker       {_without_password(settings.broker_url)}
  logs         {settings.supervisor_dir}

  curl -X POST {gateway}/predict -H 'Content-Type: application/json' -d '{rows}'

Ctrl-C stops everything.
"""


def _credentials(settings: LocalSettings) -> str:
    shown = settings.flower_password.get_secret_value() if WITH_PASSWORD in sys.argv[1:] else "as you have set it"
    return f"user {settings.flower_user}, password {shown}"


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


if __name__ == "__main__":
    main()
