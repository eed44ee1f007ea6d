"""`sepal dead-letters`: an operator lists, reads, replays and discards predictions that crash workers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import pipelines
from tests.integration.client.commands import sepal
from tests.stack import Gateway, running_stack

PIPELINE = pipelines.Lethal
TOKEN = "let me in"
SETTINGS: dict[str, Any] = {"operator_token": TOKEN, "worker_memory_bytes": 4 * 1024**3, "max_attempts": 1}


@pytest.fixture(scope="module")
def lethal(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Gateway]:
    with running_stack(tmp_path_factory.mktemp("lethal"), model_dir, **SETTINGS) as (_, gateway):
        yield gateway


def test_dead_letter_is_listed_shown_replayed_and_discarded(lethal: Gateway) -> None:
    def operate(*words: str) -> str:
        return str(sepal(lethal, "dead-letters", *words, operator_token=TOKEN).stdout)

    prediction_id = lethal.predict([[2, PIPELINE.KILL]], prefer="respond-async").json()["id"]
    assert "poison" in sepal(lethal, "watch", prediction_id, "--json", code=5).stderr
    (line,) = operate("list").splitlines()
    since, dead_letter_id = line.split()
    assert json.loads(operate("list", "--json")) == {"id": dead_letter_id, "dead_since": since}
    assert json.loads(operate("show", dead_letter_id))["rows"] == [[2, PIPELINE.KILL]]
    replayed = operate("replay", dead_letter_id).strip()
    assert replayed != prediction_id
    sepal(lethal, "watch", replayed, code=5)
    for entry in map(json.loads, operate("list", "--json").splitlines()):
        operate("discard", entry["id"])
    assert operate("list") == ""
