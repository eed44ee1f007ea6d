"""The objects of bulk predictions, which gateways and workers share: their keys, and the format of rows and results.

The rows of a **bulk prediction** are one object, `Source.key`: an Arrow IPC file with these columns, in this order:

- `f0`, `f1`, …: one for each column of the model card. Numbers and booleans have the type of the column, categories
  that of their values; strings, dates and datetimes are strings, in the form that `shared.columns` describes. A missing
  value is null. No value is NaN.
- `c0`, `c1`, …: the carried columns, named by `Source.carried`. Those of CSV and JSON are strings; those of Arrow and
  Parquet keep their type (boolean, integer, float32, float64, decimal, date32, time, timestamp or string) and NaN.
  A carried string that begins with `JSON_MARK` continues with the JSON of the value, on one line: the value was not a
  string, or was a string that begins with the mark. Any other string is the value itself. So `{"id": "7"}` is carried
  as `7`, and `{"id": 7}` as `JSON_MARK` and `7`.
- `error`, only with `OnError.REPORT`: the reason for each bad row, whose invalid values are null; null for other rows.

Each record batch but the last has `Source.batch_rows` rows, so that row *n* is found without an index.

A **slice** is a range of rows that one batch scores. Its result is one object: an Arrow IPC file with one row for each
row of the slice, in order. Its columns are those of `result_columns` in `worker/pool/result_table.py` and, with
`OnError.REPORT`, `error`: the reason for each row without a result, whose other columns are null. The metadata of each
field has `output`, the name of its output, and `target`, the index of its target, if the output has an array for each
of several targets. The schema has no metadata.
"""

import secrets
from typing import Final

import msgspec

from shared.ids import BatchId
from shared.names import OnError, Output
from shared.objects import KEY_PREFIX

FEATURE_PREFIX: Final = "f"
CARRIED_PREFIX: Final = "c"
ERROR_COLUMN: Final = "error"
"""The column of reasons, in the files of rows and of results."""
JSON_MARK: Final = "\x01"
"""The first character of a carried string whose rest is JSON."""
OUTPUT_METADATA_KEY: Final = b"output"
"""The metadata key of a result field for the name of its output."""
TARGET_METADATA_KEY: Final = b"target"
"""The metadata key of a result field for the index of its target."""
MARKER_KEY: Final = f"{KEY_PREFIX}marker"
"""The key of the marker object, which is written before any rows."""
MAX_LISTED_ERRORS: Final = 100
"""The maximum number of bad rows that an error lists."""


class Source(msgspec.Struct, array_like=True, frozen=True):
    """The rows of a bulk prediction, and the options for scoring them."""

    key: str
    n_rows: int
    n_bytes: int
    batch_rows: int
    """Rows of each record batch but the last."""
    on_error: OnError = OnError.FAIL
    outputs: tuple[Output, ...] = ()
    """The requested outputs; empty for the model's default."""
    carried: tuple[str, ...] = ()
    """Names of the carried columns."""
    n_bad: int = 0
    """Number of bad rows found when the upload was read."""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Source":
        """Decode from MessagePack."""
        return msgspec.msgpack.decode(raw, type=cls)


class Slice(msgspec.Struct, array_like=True, frozen=True):
    """A range of rows."""

    first_row: int
    n_rows: int


class SliceResult(msgspec.Struct, array_like=True, frozen=True):
    """The result of a slice."""

    first_row: int
    n_rows: int
    key: str
    """Empty if there is no object: the slice is one row whose attempts are used up; `error` has the reason."""
    n_bytes: int
    n_bad: int = 0
    """Rows without a result, including those found when the upload was read."""
    error: str = ""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "SliceResult":
        """Decode from MessagePack."""
        return msgspec.msgpack.decode(raw, type=cls)


def objects_prefix(batch_id: BatchId) -> str:
    """Return the prefix of all keys of a bulk prediction."""
    return f"{KEY_PREFIX}{batch_id}/"


def new_rows_key(batch_id: BatchId) -> str:
    """Return a new key for the rows of a bulk prediction."""
    return f"{objects_prefix(batch_id)}rows-{secrets.token_hex(4)}.arrow"


def new_result_key(slice_id: BatchId, token: int) -> str:
    """Return a new key for the result of an attempt at a slice; it is unique for each attempt."""
    parent, _, index = slice_id.partition(".")
    return f"{objects_prefix(BatchId(parent))}results/{index}-{token}-{secrets.token_hex(4)}.arrow"
