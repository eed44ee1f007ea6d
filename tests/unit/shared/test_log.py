"""Text from a client cannot start a new line in the log."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from tests.stack import ROOT

FORGED = "2026-01-01T00:00:00Z [info     ] forged"
BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[2K\r"]
SCRIPT = """
import json, logging, sys
import structlog
from shared.log import configure_logging

configure_logging(sys.argv[1] == "json", "info")
log = structlog.get_logger("a")


class Shown:
    def __init__(self, text): self.text = text
    def __repr__(self): return self.text


for text in json.loads(sys.argv[2]):
    log.info(text, path=text, method=text, header=text.encode(), shown=Shown(text), list=[text])
    logging.getLogger("b").warning("from a library: %s", text)
    try:
        raise ValueError(text)
    except ValueError as error:
        log.error("failed", exc_info=error)
        logging.getLogger("b").exception("failed")
"""


def lines_of(form: str) -> list[str]:
    texts = [f"a{each}{FORGED}" for each in BREAKS]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form, json.dumps(texts)], capture_output=True, check=True, cwd=ROOT
    )
    return done.stderr.decode().splitlines()


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_begins_with_what_a_client_sent(form: str) -> None:
    lines = lines_of(form)
    assert len(lines) >= 4 * len(BREAKS)
    assert any("forged" in line for line in lines)
    assert not [line for line in lines if line.startswith(("2026-01-01", "forged", "[2K"))]


def test_json_has_an_event_in_each_line() -> None:
    events: list[Any] = [json.loads(line) for line in lines_of("json")]
    assert len(events) == 4 * len(BREAKS)
    assert {logging.getLevelName(event["level"].upper()) for event in events} == {20, 30, 40}
