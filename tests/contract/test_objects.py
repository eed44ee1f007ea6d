"""The object store, in a folder and on a real S3 server."""

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from shared.errors import ObjectStoreUnavailable, StorageFull
from shared.objects import ObjectStore, ObjectWriter
from tests.s3 import S3Server, s3_server

PART = 8 * 2**20  # of a multipart upload
PREFIX = "sepal/prediction/"
KEY = f"{PREFIX}rows-1.arrow"


class Broken(Exception):
    """What a test raises while it writes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An object store that is empty, and empty again after the test: no test leaves an upload or a folder."""
    if request.param == "folder":
        store = ObjectStore.open(str(tmp_path / "objects"))
        yield store
        store.delete_all("sepal/")
        assert list((tmp_path / "objects").glob("*")) == []
        return
    server: S3Server = request.getfixturevalue("server")
    store = server.store()
    yield store
    assert server.pending_uploads() == []
    store.delete_all("sepal/")
    assert keys(store) == []


@pytest.fixture
def s3(server: S3Server) -> Iterator[ObjectStore]:
    """The S3 server's store, for tests that stop the server."""
    store = server.store()
    yield store
    store.delete_all("sepal/")


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write that breaks off is interrupted while what was written is discarded."""
    open_writer = obstore.open_writer
    monkeypatch.setattr(
        obstore, "open_writer", lambda *args, **options: InterruptedAbort(open_writer(*args, **options))
    )


@pytest.fixture
def no_space() -> Iterator[None]:
    """No file of this process can be longer than a megabyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def keys(objects: ObjectStore) -> list[str]:
    return sorted(stored.key for stored in objects.list())


def write_zeros(writer: ObjectWriter, n_bytes: int) -> None:
    for first in range(0, n_bytes, 2**20):
        writer.write(bytes(min(2**20, n_bytes - first)))


def write_broken(objects: ObjectStore, n_bytes: int) -> None:
    """Write an object of which only `n_bytes` come."""

    def write() -> None:
        with objects.open_writer(KEY) as writer:
            write_zeros(writer, n_bytes)
            raise Broken

    with pytest.raises(Broken):
        write()


class InterruptedAbort:
    """A writer of obstore that is interrupted, as by Ctrl-C, when it begins to abort its upload."""

    def __init__(self, writer: Any) -> None:
        self.write, self.close, self.closed = writer.write, writer.close, writer.closed
        self._writer = writer

    def __exit__(self, *error: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        self._writer.__exit__(*error)


@pytest.mark.parametrize("n_bytes", [0, 1000, PART, 3 * PART + 1])
def test_object_is_read_as_it_was_written(objects: ObjectStore, n_bytes: int) -> None:
    content = bytes(number % 251 for number in range(1000)) * (n_bytes // 1000 + 1)
    content = content[:n_bytes]
    with objects.open_writer(KEY) as writer:
        for first in range(0, n_bytes, 3_000_000):
            assert writer.write(memoryview(content)[first : first + 3_000_000]) <= 3_000_000
        assert writer.n_bytes == n_bytes
    assert objects.size(KEY) == n_bytes
    assert objects.read(KEY, 0, n_bytes) == content
    assert objects.read(KEY, n_bytes // 2, n_bytes // 3) == content[n_bytes // 2 :][: n_bytes // 3]


def test_object_appears_only_when_it_is_complete(objects: ObjectStore) -> None:
    with objects.open_writer(KEY) as writer:
        writer.write(bytes(2 * PART))
        with pytest.raises(FileNotFoundError):
            objects.size(KEY)
    assert objects.size(KEY) == 2 * PART


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("n_bytes", [1000, 2 * PART])
def test_interrupted_writer_leaves_nothing(objects: ObjectStore, n_bytes: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_broken(objects, n_bytes)
    assert keys(objects) == []


def test_missing_and_shorter_objects_are_told_from_an_outage(objects: ObjectStore) -> None:
    objects.put(KEY, b"123456")
    assert bytes(objects.read(KEY, 6, 0)) == b""
    for start, n_bytes in ((0, 7), (4, 3), (6, 1), (100, 1)):
        with pytest.raises(FileNotFoundError):
            objects.read(KEY, start, n_bytes)
    with pytest.raises(FileNotFoundError):
        objects.read(f"{PREFIX}missing", 0, 1)
    with pytest.raises(FileNotFoundError):
        objects.size(f"{PREFIX}missing")


def test_listing_has_the_objects_below_a_prefix_and_their_sizes(objects: ObjectStore) -> None:
    objects.put(f"{PREFIX}results/1", b"1")
    objects.put(f"{PREFIX}results/2", b"22")
    objects.put("sepal/prediction-2/rows", b"333")
    listed = sorted(objects.list(PREFIX))
    assert [(stored.key, stored.n_bytes) for stored in listed] == [
        (f"{PREFIX}results/1", 1),
        (f"{PREFIX}results/2", 2),
    ]
    assert all(stored.modified.tzinfo is not None for stored in listed)
    assert len(keys(objects)) == 3
    assert list(objects.list("sepal/nothing/")) == []


def test_objects_below_a_prefix_are_deleted_and_no_others(objects: ObjectStore) -> None:
    for index in range(3):
        objects.put(f"{PREFIX}results/{index}", b"1")
    objects.put("sepal/prediction-2/rows", b"2")
    objects.delete_all(PREFIX)
    assert keys(objects) == ["sepal/prediction-2/rows"]


def test_deleting_what_is_missing_is_no_error(objects: ObjectStore) -> None:
    objects.put(KEY, b"1")
    objects.delete([f"{PREFIX}missing", KEY, f"{PREFIX}missing too"])
    assert keys(objects) == []
    objects.delete_all(PREFIX)


@pytest.mark.parametrize("n_bytes", [0, 1000, 3 * PART])
def test_broken_writer_leaves_nothing(objects: ObjectStore, n_bytes: int) -> None:
    write_broken(objects, n_bytes)
    assert keys(objects) == []


def test_writers_in_one_folder_do_not_disturb_one_another(objects: ObjectStore) -> None:
    """Folders are made for a writer while they are removed because they are empty."""

    def write_and_delete(index: int) -> None:
        for attempt in range(20):
            key = f"{PREFIX}results/{index}-{attempt}"
            objects.put(key, b"1")
            objects.delete([key] if attempt < 19 else [])

    threads = [threading.Thread(target=write_and_delete, args=[index]) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys(objects) == [f"{PREFIX}results/{index}-19" for index in range(4)]


def test_what_a_killed_writer_left_in_a_folder_is_listed_and_deleted(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path))
    with objects.open_writer(KEY) as writer:
        writer.write(bytes(2 * PART))
        (unfinished,) = keys(objects)
        assert unfinished != KEY
    left = tmp_path / unfinished
    left.write_bytes(b"as a killed process leaves it")
    assert keys(objects) == [KEY, unfinished]
    objects.delete_all(PREFIX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [2**20 + 1, 2 * PART])
@pytest.mark.usefixtures("no_space")
def test_full_disk_is_told_from_an_outage_and_leaves_nothing(tmp_path: Path, n_bytes: int) -> None:
    objects = ObjectStore.open(f"file://{tmp_path}/objects")
    with pytest.raises(StorageFull), objects.open_writer(KEY) as writer:
        write_zeros(writer, n_bytes)
    assert keys(objects) == []
    objects.put(KEY, b"small")


def test_prediction_whose_objects_are_deleted_while_one_is_written_has_no_object(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path))

    def write() -> None:
        with objects.open_writer(KEY) as writer:
            writer.write(bytes(2 * PART))
            objects.delete_all(PREFIX)

    with pytest.raises(ObjectStoreUnavailable):
        write()
    assert keys(objects) == []


def test_folder_that_cannot_be_made_is_an_outage_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in place of a folder")
    objects = ObjectStore.open(str(tmp_path / "file"))
    with pytest.raises(ObjectStoreUnavailable):
        objects.put(KEY, b"1")
    (tmp_path / "file").unlink()
    objects.put(KEY, b"1")
    assert keys(objects) == [KEY]


def every_call(objects: ObjectStore) -> None:
    """Make every call, each of which has to fail."""
    with pytest.raises(ObjectStoreUnavailable):
        objects.put(f"{PREFIX}second", b"1")
    with pytest.raises(ObjectStoreUnavailable):
        objects.read(KEY, 0, 1)
    with pytest.raises(ObjectStoreUnavailable):
        objects.size(KEY)
    with pytest.raises(ObjectStoreUnavailable):
        keys(objects)
    with pytest.raises(ObjectStoreUnavailable):
        objects.delete([KEY])


def test_server_that_is_gone_is_an_outage_and_its_objects_are_kept(server: S3Server, s3: ObjectStore) -> None:
    s3.put(KEY, b"kept")
    server.stop()
    every_call(s3)
    server.restart()
    assert bytes(s3.read(KEY, 0, 4)) == b"kept"


def test_server_that_goes_while_an_object_is_written_is_an_outage(server: S3Server, s3: ObjectStore) -> None:

    def write() -> None:
        with s3.open_writer(KEY) as writer:
            writer.write(bytes(2 * PART))
            server.stop()
            write_zeros(writer, 100 * PART)

    with pytest.raises(ObjectStoreUnavailable):
        write()
    server.restart()
    assert keys(s3) == []


def test_call_that_a_frozen_server_does_not_answer_ends(
    server: S3Server, s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = f"{KEY}-kept"  # of another object: the server may carry out the calls later, a deletion among them
    s3.put(kept, b"kept")
    monkeypatch.setattr("shared.objects._REQUEST_TIMEOUT", "1s")
    hasty = server.store()
    server.part.popen.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.part.popen.pid, os.WSTOPPED | os.WNOWAIT)  # until all of its threads are stopped
    try:
        every_call(hasty)
    finally:
        server.part.popen.send_signal(signal.SIGCONT)
    assert bytes(s3.read(kept, 0, 4)) == b"kept"
