"""The table server: a process for each job, which ends with its job or with its gateway."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pyarrow as pa
import pytest

from api.bulk.wire import (
    JobFailed,
    JobRefused,
    JobStarted,
    ResultFinished,
    ResultJob,
    RowsStored,
    UploadFinished,
    UploadJob,
)
from shared.card import CARD_FILE
from shared.errors import BodyTooLarge, PredictionGone
from shared.objects import ObjectStore
from tests.patience import patience
from tests.stack import ROOT, clean_environment, wait_for
from tests.stored_results import store_result
from tests.table_server import TableServer, running_table_server

HEADER = b"petal width (cm),sepal length (cm),sepal width (cm),petal length (cm)\n"
LINES = b"0.2,5.1,3.5,1.4\n" * 10_000
N_ROWS = 200_000  # as CSV more than a connection's buffers hold


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableServer]:
    with running_table_server(tmp_path_factory.mktemp("tables")) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: TableServer) -> ObjectStore:
    return ObjectStore.open(str(server.objects))


@pytest.fixture(scope="module")
def job(store: ObjectStore) -> ResultJob:
    results = pa.table({"prediction": np.arange(N_ROWS)})
    source, slices = store_result(store, results, [N_ROWS // 2, N_ROWS // 2], batch_rows=2**16)
    return ResultJob("csv", source, slices)


@pytest.fixture
def upload(iris_dir: Path) -> UploadJob:
    return UploadJob((iris_dir / CARD_FILE).read_bytes(), "text/csv", "", "sepal/upload/rows")


def test_result_is_sent(server: TableServer, job: ResultJob) -> None:
    done = server.do(job)
    assert done.data == b"prediction\n" + b"".join(b"%d\n" % row for row in range(N_ROWS))
    assert done.has_ended
    assert [type(reply) for reply in done.replies] == [JobStarted, ResultFinished]
    assert done.replies[1] == ResultFinished(len(done.data))


def test_result_is_written_to_an_object(server: TableServer, store: ObjectStore, job: ResultJob) -> None:
    for form in ("parquet", "csv"):
        sent = server.do(ResultJob(form, job.source, job.results)).data
        done = server.do(ResultJob(form, job.source, job.results, key="sepal/exported"))
        assert done.replies[1] == ResultFinished(len(sent))
        assert not done.data
        assert store.read("sepal/exported", 0, len(sent)) == sent
        store.delete(["sepal/exported"])


def test_result_whose_objects_are_deleted_is_gone(server: TableServer, store: ObjectStore) -> None:
    source, slices = store_result(store, pa.table({"prediction": [1]}), [1])
    store.delete([slices[0].key])
    done = server.do(ResultJob("csv", source, slices))
    assert done.replies[1:] == [JobRefused(PredictionGone.code, PredictionGone.detail)]


def test_unexpected_error_leaves_no_object(server: TableServer, store: ObjectStore) -> None:
    source, slices = store_result(store, pa.table({"prediction": [1]}), [1])
    store.put("sepal/broken", b"no Arrow file")
    broken = ResultJob("csv", source, (slices[0], type(slices[0])(1, 1, "sepal/broken", 13)), key="sepal/exported")
    (_, failed) = server.do(broken).replies
    assert isinstance(failed, JobFailed)
    assert "ArrowInvalid" in failed.traceback
    assert "sepal/exported" not in [stored.key for stored in store.list()]


def test_jobs_run_at_once_in_processes_of_their_own(server: TableServer, job: ResultJob) -> None:
    with server.connect(job) as first, server.connect(job) as second:
        assert len({first.start(), second.start(), server.popen.pid}) == 3
        assert isinstance(second.finish(), ResultFinished)
        assert isinstance(first.finish(), ResultFinished)


def test_killed_process_ends_its_connection_alone(server: TableServer, job: ResultJob) -> None:
    with server.connect(job) as killed, server.connect(job) as other:
        os.kill(killed.start(), signal.SIGKILL)
        assert isinstance(killed.finish(), JobStarted)
        assert isinstance(other.finish(), ResultFinished)


@pytest.mark.parametrize("half", [True, False])
def test_process_ends_when_its_gateway_goes(server: TableServer, job: ResultJob, half: bool) -> None:
    with server.connect(job) as connection:
        process = psutil.Process(connection.start())
        if half:
            connection.close_half()
            wait_for(lambda: not process.is_running(), "the end of the job's process")
    wait_for(lambda: not process.is_running(), "the end of the job's process")


def test_processes_have_limits(server: TableServer, job: ResultJob) -> None:
    with server.connect(job) as connection:
        process = psutil.Process(connection.start())
        connection.receive()  # the first data: the limits are set
        assert process.rlimit(psutil.RLIMIT_DATA) == (400_000_000, 400_000_000)
        assert process.rlimit(psutil.RLIMIT_CPU) == (3600, 3610)
        assert process.nice() >= 5


def test_upload_is_read_to_an_object(server: TableServer, store: ObjectStore, upload: UploadJob) -> None:
    lines = HEADER + LINES
    done = server.do(msgspec.structs.replace(upload, is_fingerprinted=True), [lines[:1000], lines[1000:]])
    read = done.replies[-1]
    assert isinstance(read, UploadFinished)
    assert (read.source.key, read.source.n_rows, read.source.n_bytes) == (upload.key, 10_000, store.size(upload.key))
    assert read.fingerprint == hashlib.sha256(lines).hexdigest()
    store.delete([upload.key])


def test_refused_upload_leaves_nothing(server: TableServer, store: ObjectStore, upload: UploadJob) -> None:
    refused = server.do(upload, [HEADER, LINES * 30, b"1,2,3,wide\n", LINES * 30]).replies[-1]
    assert isinstance(refused, JobRefused)
    assert [fault.pointer.split("/")[2] for fault in refused.faults] == ["300000"]
    assert not list(store.list("sepal/upload/"))


def test_upload_that_breaks_off_leaves_nothing(server: TableServer, store: ObjectStore, upload: UploadJob) -> None:
    with server.connect(upload) as connection:
        process = psutil.Process(connection.start())
        connection.send_part(HEADER + LINES * 50)
        connection.receive()
        assert isinstance(connection.replies[-1], RowsStored)
        assert list(store.list("sepal/upload/"))
    wait_for(lambda: not process.is_running(), "the end of the job's process")
    assert not list(store.list("sepal/upload/"))


def test_upload_that_needs_too_much_memory_is_refused(tmp_path: Path, upload: UploadJob) -> None:
    with running_table_server(tmp_path, process_bytes=120_000_000) as server:
        refused = server.do(upload, [HEADER, *[b'"' + b"5" * 2**20] * 100]).replies[-1]
        assert isinstance(refused, JobRefused)
        assert not list(ObjectStore.open(str(server.objects)).list())


def test_upload_that_takes_too_much_time_is_refused(tmp_path: Path, upload: UploadJob) -> None:
    with running_table_server(tmp_path, cpu_seconds=1) as server, server.connect(upload) as connection:
        connection.start()
        connection.send_part(HEADER)
        assert connection.send_until_refused(LINES).code == BodyTooLarge.code
        assert not list(ObjectStore.open(str(server.objects)).list())


def test_server_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.table_server import TableServer\n"
        "print(TableServer(Path(sys.argv[1])).popen.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
    )
    with parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        server.wait(patience())
