"""What the gateway and the processes of `api.formats` say to each other.

A process serves one job on one connection. Each frame is `FRAME` and its content. The gateway sends a `Job` as
MessagePack in a frame of kind `JOB`; then, for an upload, the body in frames of kind `DATA`, the last of them empty.
The process answers with frames of kind `REPLY`, each a `Reply` as MessagePack, and, for a download, with frames of kind
`DATA` and an empty one at the end. It closes its half of the connection after its last reply, which may come before the
body has ended: it reads what the gateway still sends, and ends once that closes the connection too.

If the gateway closes the connection earlier, even one half of it, the job ends and leaves nothing in the object store.
"""

import struct
from typing import Final

import msgspec

from shared.bulk import SliceResult, Source
from shared.errors import Fault
from shared.names import OnError, Output

FRAME: Final = struct.Struct("<cI")
"""The kind of a frame, and the length of its content."""
JOB: Final = b"J"
DATA: Final = b"D"
REPLY: Final = b"R"
MAX_FRAME_BYTES: Final = 2**20
"""Of a frame of kind `DATA`."""
LISTENING: Final = b"listening\n"
"""What the table server writes to its standard output once its socket takes connections."""


class TableSettings(msgspec.Struct, frozen=True):
    """The last argument of `python -m api.formats SOCKET SETTINGS`, as JSON."""

    object_store_url: str
    process_bytes: int = 400_000_000
    """The memory of each process, by `RLIMIT_DATA`; the libraries take 75 MB of it."""
    cpu_seconds: int = 3600
    """The time that each process may compute."""
    max_inflated_bytes: int = 16 * 2**30
    """Of an upload whose content coding is undone."""
    max_inflate_ratio: int = 200
    """Of an upload: inflated bytes for each byte that was sent."""
    max_json_bytes: int = 64 * 2**20
    """Of an upload of `application/json`, inflated."""
    max_text_bytes: int = 2**20
    """Of a text in a row."""


class UploadJob(msgspec.Struct, frozen=True, tag="ReadUpload"):
    """Read the body of an upload, check it against the card, and write its rows to the object store."""

    card: bytes
    """The model card, as JSON."""
    media_type: str
    """One of `application/json`, `application/x-ndjson`, `text/csv`, `application/vnd.apache.arrow.stream`,
    `application/vnd.apache.parquet`."""
    content_coding: str
    """Of the body: empty, `gzip` or `zstd`."""
    key: str
    """Of the object to write."""
    on_error: OnError = OnError.FAIL
    outputs: tuple[Output, ...] = ()
    """Those of the query string; empty for none. A body of JSON may name them instead."""
    carried: tuple[str, ...] = ()
    delimiter: str = ","
    has_header: bool = True
    null_texts: tuple[str, ...] = ()
    """Texts of CSV cells that are missing values, beside the empty cell."""
    is_fingerprinted: bool = False
    """Whether the body has an idempotency key, which its fingerprint is kept with."""


class ResultJob(msgspec.Struct, frozen=True, tag=True):
    """Write rows of a result in a format."""

    format: str
    """One of `json`, `ndjson`, `csv`, `arrow`, `parquet`."""
    source: Source
    results: tuple[SliceResult, ...]
    """In the order of their rows, without a gap."""
    first_row: int = 0
    n_rows: int | None = None
    """How many rows; None for all of them."""
    head: bytes = b""
    """Of JSON: the members that follow the outputs, from `"id"` on, without braces."""
    key: str = ""
    """Of the object to write instead of sending it; empty to send it."""
    is_gzipped: bool = False
    """Whether it is sent compressed with gzip."""


Job = UploadJob | ResultJob


class JobStarted(msgspec.Struct, frozen=True, tag=True):
    """The process has the job; sent before anything else."""

    pid: int


class RowsStored(msgspec.Struct, frozen=True, tag=True):
    """So many bytes were written to the object store until now; sent at every few megabytes."""

    n_bytes: int


class UploadFinished(msgspec.Struct, frozen=True, tag=True):
    """An upload was read to its end, and its rows are safe in the object store."""

    source: Source
    fingerprint: str
    """SHA-256 of the body as it was sent, in hexadecimal; empty if it was not asked for."""


class ResultFinished(msgspec.Struct, frozen=True, tag=True):
    """A result was written to an object, or sent to its end."""

    n_bytes: int


class JobRefused(msgspec.Struct, frozen=True, tag=True):
    """The job ends with an error of `shared.errors`; nothing is left in the object store.

    A `ResultJob` whose objects are deleted ends with `PredictionGone`.
    """

    code: str
    detail: str
    faults: tuple[Fault, ...] = ()
    """Of `InvalidRows`; also of a `MalformedUpload` where a place is known."""


class JobFailed(msgspec.Struct, frozen=True, tag=True):
    """The job ends with an unexpected error."""

    traceback: str


Reply = JobStarted | RowsStored | UploadFinished | ResultFinished | JobRefused | JobFailed
