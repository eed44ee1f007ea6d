"""The judge of faults between clients and gateways counts each violation, and nothing else."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from sepal_client import GatewayUnreachable, Progress, State
from tests.chaos.clients.blocking import Blocking
from tests.chaos.clients.judge import BARS, ClientVerdict, Stored, judge
from tests.chaos.clients.operations import WrongResult, check_file, check_progress, check_result
from tests.chaos.clients.results import PAGE_FILE, ClientResult, ClientResults
from tests.chaos.clients.rows import DOWNLOADED, MAX_ROWS, ReferencePipeline, Rows
from tests.chaos.clients.strikes import Seen, Target
from tests.chaos.clients.trial import Ended, Trial, attempt, early_repeats, files_in
from tests.models import save_troublesome

TRIAL = Trial(0, MAX_ROWS, "key", ended=Ended.RIGHT, prediction_id="id", n_struck=1)
STORED = Stored("id", MAX_ROWS, "succeeded", is_right=True)
ROWS = Rows(1, 3)
TARGET = Target("POST", "/predict")
MACHINE = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ReferencePipeline:
    folder = tmp_path_factory.mktemp("model")
    return ReferencePipeline(save_troublesome(folder, folder))


def violations(trial: Trial, *stored: Stored, n_listed: int = 0) -> dict[str, int]:
    """Return the counts that are not 0."""
    verdict = judge([trial], stored, {trial.key: n_listed})
    return {name: count for name in BARS if (count := getattr(verdict, name))}


def trial(**fields: Any) -> Trial:
    return msgspec.structs.replace(TRIAL, **fields)


def test_right_result_of_one_prediction_is_no_violation() -> None:
    assert violations(TRIAL, STORED) == {}
    assert violations(trial(is_uploaded=True), STORED, n_listed=1) == {}


def test_error_is_no_violation_with_or_without_a_prediction_if_every_request_was_struck() -> None:
    failed = trial(ended=Ended.ERROR, error="Unavailable: Later.", prediction_id=None, lasts=True)
    assert violations(failed) == violations(failed, STORED) == {}
    assert judge([failed], [], {}).codes == {"Unavailable": 1}


def test_error_after_a_fault_that_has_passed_is_a_violation() -> None:
    assert violations(trial(ended=Ended.ERROR, prediction_id=None)) == {"gave_up": 1}


def test_second_prediction_of_a_submission_is_found_in_the_store() -> None:
    assert violations(TRIAL, STORED, Stored("other", MAX_ROWS, "succeeded", is_right=True)) == {"twice": 1}


def test_second_prediction_of_an_upload_is_found_in_the_list_of_its_key() -> None:
    assert violations(trial(is_uploaded=True), STORED, n_listed=2) == {"twice": 1}


@pytest.mark.parametrize(
    ("stored", "counts"),
    [
        ([], {"lost": 1}),
        ([Stored("id", None, "running")], {"lost": 2}),  # the client's, and the store's
        ([Stored("id", MAX_ROWS, "succeeded", is_right=False)], {"wrong": 1}),
        ([STORED, Stored("other", 7 * MAX_ROWS, "succeeded", is_right=True)], {"stray": 1}),
        ([STORED, Stored("other", None, "failed")], {"lost": 1}),
    ],
)
def test_store_must_have_the_prediction_with_the_right_result(stored: list[Stored], counts: dict[str, int]) -> None:
    assert violations(TRIAL, *stored) == counts


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"ended": Ended.WRONG}, {"wrong": 1}),
        ({"ended": Ended.UNDOCUMENTED}, {"undocumented": 1}),
        ({"ended": Ended.HUNG}, {"hung": 1}),
        ({"left": ["result.csv"]}, {"left": 1}),
        ({"early": 2}, {"early": 2}),
    ],
)
def test_what_a_client_does_wrong_is_counted(fields: dict[str, Any], counts: dict[str, int]) -> None:
    assert violations(trial(**fields), STORED) == counts


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("operate", "ended"),
    [
        (lambda: None, Ended.RIGHT),
        (lambda: fail(WrongResult("another row")), Ended.WRONG),
        (lambda: fail(GatewayUnreachable("no connection")), Ended.ERROR),
        (lambda: fail(GatewayUnreachable("")), Ended.UNDOCUMENTED),
        (lambda: fail(ConnectionError("reset")), Ended.UNDOCUMENTED),
    ],
)
def test_end_of_an_operation_is_recorded(operate: Callable[[], None], ended: Ended) -> None:
    tried = trial(ended=Ended.HUNG)
    attempt(tried, operate)
    assert tried.ended is ended


def test_refused_request_is_early_before_the_time_that_it_was_told() -> None:
    refused = Seen(TARGET, 100, earliest_repeat=102)
    assert early_repeats([refused, Seen(Target("GET", "/results/1"), 101), Seen(TARGET, 102)]) == 0
    assert early_repeats([refused, Seen(TARGET, 101), Seen(TARGET, 103)]) == 1
    assert early_repeats([refused]) == 0


def test_files_in_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert files_in(tmp_path / "one") == []
    (tmp_path / "one" / ".result.part").touch()
    assert files_in(tmp_path / "one") == [".result.part"]


def steps(*counts: int) -> list[Progress]:
    """Progress with so many rows done; the last is final."""
    running = [Progress("id", State.RUNNING, count, ROWS.n_rows) for count in counts]
    return [*running[:-1], dataclasses.replace(running[-1], state=State.SUCCEEDED)]


def test_progress_ends_once_with_all_rows() -> None:
    check_progress(steps(0, 1, 3), ROWS)


@pytest.mark.parametrize(
    "told", [[], steps(0, 2), steps(2, 1, 3), steps(1, 3)[:-1], [*steps(3), *steps(3)], steps(0, 3)[:1]]
)
def test_progress_that_goes_back_or_has_not_one_end_is_wrong(told: list[Progress]) -> None:
    with pytest.raises(WrongResult):
        check_progress(told, ROWS)


def result_file(suffix: str, rows: Rows) -> bytes:
    """Write the results of some rows as a gateway does."""
    numbers = rows.matrix()[:, 2]
    table = pa.table(
        {
            "prediction": numbers.astype("int64"),
            "log_proba_0": numbers / -3,
            "log_proba_1": [float("-inf")] * rows.n_rows,
        }
    )
    return written(suffix, table)


def written(suffix: str, table: pa.Table) -> bytes:
    if suffix in (".arrow", ".parquet"):
        sink = pa.BufferOutputStream()
        if suffix == ".arrow":
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        else:
            pa.parquet.write_table(table, sink)
        return bytes(sink.getvalue())
    lines = [
        {name: "-Infinity" if value == float("-inf") else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    if suffix == ".ndjson":
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    return "\n".join(
        [",".join(table.column_names), *(",".join(map(str, line.values())) for line in lines), ""]
    ).encode()


@pytest.mark.parametrize("suffix", DOWNLOADED)
def test_file_must_have_every_row_in_order(tmp_path: Path, reference: ReferencePipeline, suffix: str) -> None:
    path = tmp_path / f"result{suffix}"
    whole = result_file(suffix, ROWS)
    path.write_bytes(whole)
    check_file(path, ROWS, reference)
    for content in (whole[: len(whole) // 2], result_file(suffix, Rows(1, 2)), result_file(suffix, Rows(2, 3))):
        path.write_bytes(content)
        with pytest.raises(WrongResult):
            check_file(path, ROWS, reference)


def test_missing_file_is_wrong(tmp_path: Path, reference: ReferencePipeline) -> None:
    with pytest.raises(WrongResult):
        check_file(tmp_path / "result.csv", ROWS, reference)


def test_result_with_a_lost_bit_is_wrong(reference: ReferencePipeline) -> None:
    numbers = ROWS.matrix()[:, 2].tolist()
    log_proba = [[number / -3, float("-inf")] for number in numbers]
    check_result(SimpleNamespace(id="id", prediction=numbers, log_proba=log_proba), ROWS, reference)
    log_proba[1][0] += 1e-10 * log_proba[1][0]
    with pytest.raises(WrongResult):
        check_result(SimpleNamespace(id="id", prediction=numbers, log_proba=log_proba), ROWS, reference)


class Asynchronous:
    """A class like those of the asynchronous client."""

    async def number(self) -> int:
        return 1

    def other(self) -> "Asynchronous":
        return self

    async def count(self) -> AsyncIterator[int]:
        yield 1
        yield 2


def test_asynchronous_methods_can_be_called_like_others() -> None:
    with asyncio.Runner() as runner:
        blocking = Blocking(Asynchronous(), runner)
        assert blocking.other().number() == 1
        assert list(blocking.count()) == [1, 2]


def test_page_shows_every_fault_and_the_missed_bars(tmp_path: Path) -> None:
    results = ClientResults("abc", "2000-01-01", MACHINE, 7)
    results.faults.append(ClientResult("client-cut-wait", "connection cut, wait", ClientVerdict(200, 190, 198, 2), 9))
    results.faults.append(ClientResult("client-kill-wait", "gateway killed, wait", ClientVerdict(1, 1, 1, 0, 3), 9))
    results.write(tmp_path)
    page = (tmp_path / PAGE_FILE).read_text()
    assert "| connection cut, wait | 200 | 190 | 198 | 2 | 0 |" in page
    assert "| **all** | 201 | 191 | 199 | 2 | 3 |" in page
    assert "- client-kill-wait: twice: 3" in page
    assert results.missed() == ["client-kill-wait: twice: 3"]
