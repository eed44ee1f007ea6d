"""The protocol between the gateway and the processes of `api.formats`.

A process serves one job on one connection. Each frame is a `FRAME_HEAD` and its content. The gateway sends a `Job` as
MessagePack in a frame of kind `JOB`; then, for an upload, the body in frames of kind `DATA`; the last one is empty. The
process sends frames of kind `REPLY`, each a `Reply` as MessagePack, and for a download frames of kind `DATA`; the last
one is empty. It closes its half of the connection after its last reply, which may come before the end of the body. It
then reads the rest of the body, and exits when the gateway closes the connection.

If the gateway closes the connection, or one half of it, before the last reply, the job ends and leaves nothing in the
object store.
"""

import struct
from typing import Final

import msgspec

from shared.bulk import SliceResult, Source
from shared.errors import Fault
from shared.names import OnError, Output

FRAME_HEAD: Final = struct.Struct("<cI")
"""The header of a frame: its kind, and the length of its content in bytes."""
JOB: Final = b"J"
DATA: Final = b"D"
REPLY: Final = b"R"
MAX_FRAME_BYTES: Final = 2**20
"""The limit for the content of a `DATA` frame."""
LISTENING: Final = b"listening\n"
"""The line that the table server writes to its standard output once its socket accepts connections."""


class TableSettings(msgspec.Struct, frozen=True):
    """The settings of table processes: the second argument of `python -m api.formats`, as JSON."""

    object_store_url: str
    process_bytes: int = 400_000_000
    """The memory limit of each process (`RLIMIT_DATA`); the libraries use 75 MB of it."""
    cpu_seconds: int = 3600
    """The CPU time limit of each process."""
    max_inflated_bytes: int = 16 * 2**30
    """The limit for a compressed upload after decompression."""
    max_inflate_ratio: int = 200
    """The limit for a compressed upload: decompressed bytes per byte that was sent."""
    max_json_bytes: int = 64 * 2**20
    """The limit for an upload of `application/json`, after decompression."""
    max_text_bytes: int = 2**20
    """The limit for a string in a row."""


class UploadJob(msgspec.Struct, frozen=True, tag="ReadUpload"):  # the tag is part of stored fingerprints
    """Read the body of an upload, validate it against the card, and write its rows to the object store."""

    card: bytes
    """The model card, as JSON."""
    media_type: str
    """One of `application/json`, `application/x-ndjson`, `text/csv`, `application/vnd.apache.arrow.stream`,
    `application/vnd.apache.parquet`."""
    content_coding: str
    """The coding of the body: empty, `gzip` or `zstd`."""
    key: str
    """The key of the object to write."""
    on_error: OnError = OnError.FAIL
    outputs: tuple[Output, ...] = ()
    """The outputs that the query string requests; empty for none. A JSON body may request them instead."""
    carried: tuple[str, ...] = ()
    delimiter: str = ","
    has_header: bool = True
    null_texts: tuple[str, ...] = ()
    """CSV cells that are missing values, in addition to the empty cell."""
    is_fingerprinted: bool = False
    """Whether to compute the fingerprint of the body, because the request has an idempotency key."""


class ResultJob(msgspec.Struct, frozen=True, tag=True):
    """Write rows of a result in a format."""

    format: str
    """One of `json`, `ndjson`, `csv`, `arrow`, `parquet`."""
    source: Source
    results: tuple[SliceResult, ...]
    """The results of slices, in the order of their rows, without a gap."""
    first_row: int = 0
    n_rows: int | None = None
    """Number of rows to write; None for all."""
    head: bytes = b""
    """For JSON: the encoded members that follow the outputs, from `"id"` on, without braces."""
    key: str = ""
    """The key of the object to write; empty to send the rows to the gateway instead."""
    is_gzipped: bool = False
    """Whether to compress the rows that are sent with gzip."""


Job = UploadJob | ResultJob


class JobStarted(msgspec.Struct, frozen=True, tag=True):
    """The process has received the job; always the first reply."""

    pid: int


class RowsStored(msgspec.Struct, frozen=True, tag=True):
    """Number of bytes written to the object store until now; sent every few megabytes."""

    n_bytes: int


class UploadFinished(msgspec.Struct, frozen=True, tag=True):
    """The upload was read to its end, and its rows are in the object store."""

    source: Source
    fingerprint: str
    """SHA-256 of the body as it was sent, in hexadecimal; empty if `UploadJob.is_fingerprinted` is false."""


class ResultFinished(msgspec.Struct, frozen=True, tag=True):
    """The whole result was written to the object, or sent."""

    n_bytes: int


class JobRefused(msgspec.Struct, frozen=True, tag=True):
    """The job failed with an error of `shared.errors`, and left nothing in the object store.

    The error of a `ResultJob` whose source objects are deleted is `PredictionGone`.
    """

    code: str
    detail: str
    faults: tuple[Fault, ...] = ()
    """The faults of `InvalidRows`, or of `MalformedUpload` if the position is known."""


class JobFailed(msgspec.Struct, frozen=True, tag=True):
    """The job failed with an unexpected error."""

    traceback: str


Reply = JobStarted | RowsStored | UploadFinished | ResultFinished | JobRefused | JobFailed
