"""Large bodies are read in another process, with the same outcome; a killed process is replaced."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest

from api.http import reader_process
from api.http.large_bodies import LargeBodies
from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.errors import BodyNotRead, InvalidRows, MalformedJson, TooManyBodies
from tests.bodies import an_object, array, body
from tests.patience import patience
from tests.stack import ROOT, clean_environment, wait_for
from tests.unit.api.http.cards import CARDS

MEGABYTE = 2**20
MAX_ROWS = 10_000
UNREADABLE = {
    "a million numbers in a row": b'{"data":[[' + b"1," * 999_999 + b"1]]}",
    "a million numbers in many rows": b'{"data":[' + b"[1,2,3,4]," * 249_999 + b"[1,2,3,4]]}",
    "8 MB of numbers": b'{"data":[[' + b"1.25," * (8 * MEGABYTE // 5 - 10) + b"1]]}",
    "100,000 levels of arrays": b'{"data":' + b"[" * 100_000,
    "100,000 levels of objects": b'{"data":' + b'{"a":' * 100_000,
    "8 MB of objects": b'{"data":[' + b"{}," * (8 * MEGABYTE // 3 - 10) + b"{}]}",
    "8 MB of arrays in a value": b'{"data":[[1,2,3,[' + b"[]," * (8 * MEGABYTE // 3 - 10) + b"[]]]]}",
    "an error in the last row": body(*[array("penguins")] * 9_999, "[1]"),
}


@pytest.fixture
async def bodies() -> AsyncIterator[LargeBodies]:
    large = LargeBodies(MAX_ROWS, MEGABYTE, 64 * MEGABYTE)
    yield large
    await large.close()


def outcome_here(content: bytes, card: ModelCard) -> Any:
    try:
        return BodyReader(MAX_ROWS, MEGABYTE)(content, card)
    except (InvalidRows, MalformedJson) as refused:
        return type(refused), str(refused), getattr(refused, "faults", None)


async def outcome_there(bodies: LargeBodies, content: bytes, card: ModelCard) -> Any:
    try:
        return await bodies.read(content, card)
    except (InvalidRows, MalformedJson) as refused:
        return type(refused), str(refused), getattr(refused, "faults", None)


def readers() -> list[psutil.Process]:
    """Return the processes that read bodies for this one."""
    return [child for child in psutil.Process().children() if "api.http.reader_process" in child.cmdline()]


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("model", ["iris", "penguins", "texts"])
def test_body_that_takes_long_is_left_to_the_other_process(name: str, model: str) -> None:
    with patch("api.http.rows.parse", side_effect=AssertionError("it was read here")):
        assert BodyReader(MAX_ROWS, MEGABYTE).read_if_small(UNREADABLE[name], CARDS[model]) is None


def test_rows_that_are_read_step_by_step_are_left_to_it_if_they_are_many() -> None:
    reader = BodyReader(MAX_ROWS, MEGABYTE)
    row = array("penguins", year="2007.0")  # which the decoder does not take
    assert reader.read_if_small(body(*[row] * 10), CARDS["penguins"]) is not None
    assert reader.read_if_small(body(*[row] * 1_000), CARDS["penguins"]) is None


async def test_outcome_is_the_same_in_the_other_process(bodies: LargeBodies) -> None:
    cases = [
        ("iris", body(*[array("iris")] * 10_000)),
        ("penguins", body(*[an_object("penguins", year="2007.0")] * 3_000)),
        ("texts", body(*['"é"'] * 3_000)),
        ("texts", body('"' + "x" * (MEGABYTE // 2) + '"', '"a"')),
        ("iris", body(array("iris"))[:-1] + b', "outputs": ["prediction"]}'),
        ("iris", b'{"data": [[1, 2, 3, NaN]]}'),
        *((model, content) for content in UNREADABLE.values() for model in ("iris", "penguins", "texts")),
    ]
    for model, content in cases:
        assert await outcome_there(bodies, content, CARDS[model]) == outcome_here(content, CARDS[model])
    assert len(readers()) == 1


def test_process_has_no_numerics_and_no_web_framework() -> None:
    script = f"import sys, {reader_process.__name__}; print(*sys.modules)"
    listed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    unwanted = {"numpy", "pandas", "sklearn", "pyarrow", "fastapi", "starlette", "uvicorn", "celery"}
    assert not unwanted & set(listed.split())


async def test_process_is_started_by_the_first_large_body(bodies: LargeBodies) -> None:
    assert readers() == []
    await bodies.read(body(array("iris")), CARDS["iris"])
    assert len(readers()) == 1


async def test_process_that_was_killed_is_replaced(bodies: LargeBodies) -> None:
    for _ in range(3):
        assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1
        (reader,) = readers()
        reader.kill()
        reader_pid = reader.pid
    assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1
    assert [each.pid for each in readers()] != [reader_pid]


async def test_body_whose_process_is_killed_while_it_reads_is_read_by_the_next(bodies: LargeBodies) -> None:
    await bodies.read(body(array("iris")), CARDS["iris"])
    (reader,) = readers()
    reader.suspend()
    reading = asyncio.create_task(bodies.read(body(*[array("iris")] * 2), CARDS["iris"]))
    await asyncio.sleep(0)
    reader.kill()
    assert (await reading).rows[0].n_rows == 2


async def test_body_whose_process_dies_every_time_is_refused(bodies: LargeBodies) -> None:
    with patch("api.http.large_bodies.sys.executable", "/bin/false"), pytest.raises(BodyNotRead):
        await bodies.read(body(array("iris")), CARDS["iris"])
    assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1


async def test_process_that_takes_too_long_is_replaced(bodies: LargeBodies) -> None:
    await bodies.read(body(array("iris")), CARDS["iris"])
    (reader,) = readers()
    reader.suspend()
    with patch("api.http.large_bodies._MAX_SECONDS", 0.05), pytest.raises(BodyNotRead):
        await bodies.read(body(array("iris")), CARDS["iris"])
    assert not reader.is_running()
    assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1


async def test_canceled_request_does_not_leave_its_reply_to_the_next(bodies: LargeBodies) -> None:
    await bodies.read(body(array("iris")), CARDS["iris"])
    (reader,) = readers()
    reader.suspend()
    reading = asyncio.create_task(bodies.read(body(*[array("iris")] * 2), CARDS["iris"]))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1


async def test_bodies_beyond_the_limit_are_refused_and_leave_no_trace() -> None:
    content = body(*[array("iris")] * 10)
    bodies = LargeBodies(MAX_ROWS, MEGABYTE, 2 * len(content))
    try:
        for _ in range(2):
            reading = [asyncio.create_task(bodies.read(content, CARDS["iris"])) for _ in range(3)]
            done = await asyncio.gather(*reading, return_exceptions=True)
            assert [type(each).__name__ for each in done] == ["ReadBody", "ReadBody", TooManyBodies.__name__]
    finally:
        await bodies.close()
    assert readers() == []


async def test_bug_in_the_process_is_an_error_of_one_request(bodies: LargeBodies) -> None:
    broken = CARDS["iris"].model_copy(update={"input": CARDS["iris"].input.model_copy(update={"columns": ()})})
    with pytest.raises((RuntimeError, BodyNotRead)):
        await bodies.read(body("[]"), broken)
    assert (await bodies.read(body(array("iris")), CARDS["iris"])).rows[0].n_rows == 1


def test_process_ends_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "gateway.py"
    script.write_text(
        "import asyncio\n"
        "from api.http.large_bodies import LargeBodies\n"
        "from tests.bodies import array, body\n"
        "from tests.unit.api.http.cards import CARDS\n"
        "async def main():\n"
        "    bodies = LargeBodies(10, 10, 10_000)\n"
        "    await bodies.read(body(array('iris')), CARDS['iris'])\n"
        "    print(bodies._process.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as gateway:
        assert gateway.stdout is not None
        pid = int(gateway.stdout.readline())
        reader = psutil.Process(pid)
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.wait(patience())
    wait_for(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE, "the end of the process")
