"""Reads an upload: validates it against the model card, and writes its rows to the object store."""

from collections.abc import Callable
from typing import Any, Final

from api.bulk.wire import TableSettings, UploadFinished, UploadJob
from api.formats.binary.arrow import ArrowReader
from api.formats.binary.parquet import ParquetReader
from api.formats.canonical import CanonicalWriter, canonical_schema
from api.formats.codings import SentBody, decode_content
from api.formats.csv.reader import CsvReader
from api.formats.json.body import JsonReader
from api.formats.json.lines import NdjsonReader
from api.formats.matching import check_carried_names
from api.formats.pieces import PieceWriter
from api.formats.upload import Upload, UploadReader
from shared.bulk import Source
from shared.card import ModelCard
from shared.errors import BodyTooLarge, UnsupportedContentType
from shared.names import OnError
from shared.objects import ObjectStore

_READERS_BY_MEDIA_TYPE: Final[dict[str, Callable[[Upload], UploadReader]]] = {
    "application/json": JsonReader,
    "application/vnd.apache.arrow.stream": ArrowReader,
    "application/vnd.apache.parquet": ParquetReader,
    "application/x-ndjson": NdjsonReader,
    "text/csv": CsvReader,
}


def read_upload(
    job: UploadJob, body: Any, store: ObjectStore, settings: TableSettings, report_bytes: Callable[[int], None]
) -> UploadFinished:
    """Read an upload to its end.

    Args:
        job: the job.
        body: a reader whose `read(n)` returns no bytes at the end, and raises if the upload is aborted.
        store: the object store for the rows.
        settings: the limits.
        report_bytes: called every 8 MiB with the number of bytes written.

    Raises:
        MalformedUpload: the body is not of its media type.
        InvalidRows: the rows do not fit the model card.
        BodyTooLarge: the body exceeds a limit, or reading it takes too much memory.
        InvalidParameter, UnsupportedContentType, UnsupportedContentCoding: a parameter or header is invalid.
        ObjectStoreUnavailable, StorageFull: the rows were not written.
    """
    sent = SentBody(body, is_fingerprinted=job.is_fingerprinted)
    content = decode_content(sent, job.content_coding, settings.max_inflated_bytes, settings.max_inflate_ratio)
    if job.media_type not in _READERS_BY_MEDIA_TYPE:
        raise UnsupportedContentType(f"Send the rows as one of {', '.join(_READERS_BY_MEDIA_TYPE)}.")
    check_carried_names(job.carried)
    upload = Upload(content, job, ModelCard.model_validate_json(job.card), settings)
    try:
        return UploadFinished(_write_rows(upload, store, report_bytes), sent.fingerprint)
    except MemoryError:
        raise BodyTooLarge(
            f"Reading the body takes more memory than a process may have, after {sent.n_bytes} bytes: send smaller"
            " record batches, row groups or rows."
        ) from None


def _write_rows(upload: Upload, store: ObjectStore, report_bytes: Callable[[int], None]) -> Source:
    job = upload.job
    table = _READERS_BY_MEDIA_TYPE[job.media_type](upload)
    schema = canonical_schema(upload.columns, table.carried, has_error_column=job.on_error is OnError.REPORT)
    with CanonicalWriter.open(store, job.key, schema, report_bytes) as writer:
        piece_writer = PieceWriter(writer, schema, job.on_error)
        for piece in table.pieces():
            piece_writer.write(piece)
        piece_writer.finish()
        outputs = table.outputs() or job.outputs
    return Source(
        key=job.key,
        n_rows=piece_writer.n_rows,
        n_bytes=writer.n_bytes,
        batch_rows=writer.batch_rows,
        on_error=job.on_error,
        outputs=outputs,
        carried=job.carried,
        n_bad=piece_writer.n_bad,
    )
