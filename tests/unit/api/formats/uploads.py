"""Reads uploads into a folder, and reads the canonical rows back."""

import io
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from api.bulk.wire import TableSettings, UploadJob
from api.formats.reading import read_upload
from shared.bulk import Source
from shared.card import ModelCard
from shared.errors import Fault, RequestRefused
from shared.objects import ObjectStore
from tests.unit.api.http.cards import CARDS

KEY: Final = "sepal/upload/rows.arrow"


class Uploaded(NamedTuple):
    """An upload that was read."""

    source: Source
    fingerprint: str
    rows: Any
    """The canonical rows: a table of Arrow."""
    reported: list[int]
    batches: list[int]
    """The numbers of rows of the record batches."""

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The values of each canonical column."""
        columns: dict[str, list[Any]] = self.rows.to_pydict()
        return columns


def upload(folder: Path, card: str | ModelCard, body: Any, media_type: str, **options: Any) -> Uploaded:
    """Read an upload, which a body or a stream may be."""
    store = ObjectStore.open(str(folder))
    settings = options.pop("settings", TableSettings(str(folder)))
    card = CARDS[card] if isinstance(card, str) else card
    described: dict[str, Any] = {"content_coding": "", "is_fingerprinted": True} | options
    job = UploadJob(card.model_dump_json().encode(), media_type, key=KEY, **described)
    reported: list[int] = []
    body = io.BytesIO(body) if isinstance(body, bytes) else body
    read = read_upload(job, body, store, settings, reported.append)
    with pa.OSFile(str(folder / KEY)) as file, pa.ipc.open_file(file) as reader:
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        rows = pa.Table.from_batches(batches, reader.schema)
    rows.validate(full=True)
    return Uploaded(read.source, read.fingerprint, rows, reported, [batch.num_rows for batch in batches])


def refusal(folder: Path, card: str | ModelCard, body: Any, media_type: str, **options: Any) -> tuple[str, list[Fault]]:
    """Return the code and the faults of an upload that is refused; nothing is left of it."""
    try:
        upload(folder, card, body, media_type, **options)
    except RequestRefused as refused:
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        faults: list[Fault] = getattr(refused, "faults", [])
        return refused.code, faults or [Fault("", str(refused))]
    raise AssertionError("the upload was read")
