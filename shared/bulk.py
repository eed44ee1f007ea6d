"""What gateway and worker must agree on about bulk predictions: their objects, and how rows and results lie in them.

A **bulk prediction** is a claim check: its rows are one object, `Source.key`, an Arrow IPC file. Its columns are, in
this order:

- `f0`, `f1`, …: a column for each column of the model card, of the type that `docs/glossary.md` lists for its value
  type: numbers and booleans as themselves, categories as their values, texts, dates and datetimes as texts in the form
  that `shared.columns` describes. A missing value is null. No value is NaN.
- `c0`, `c1`, …: the carried columns, named by `Source.carried`. Those of CSV and JSON are texts; those of Arrow and
  Parquet have the type that they have there: boolean, integer, float32, float64, decimal, date32, time, timestamp or
  text; NaN stays NaN. In columns of texts, a text that begins with `JSON_MARK` goes on with the JSON of the value,
  which was another value than a text, or a text that begins with the mark itself. Other texts are the value. So
  `{"id": "7"}` is carried as `7`, and `{"id": 7}` as `JSON_MARK` and `7`. The JSON has no line's end.
- `error`, only with `OnError.REPORT`: a text for each row that the reading refused, whose columns are then all null
  where they are invalid; null for every other row.

Each record batch but the last has `Source.batch_rows` rows, so that row *n* is found without an index.

A **slice** is a range of rows that one batch scores. Its result is one object, an Arrow IPC file with a row for each of
its rows, in order: the columns that `result_columns` in `worker/pool/result_table.py` names and, with `OnError.REPORT`,
`error`, a text for each row without a result, whose other columns are then null. Each field's metadata has `output`,
the name of the output that it is a part of, and `target`, the index of the target that it belongs to, where the output
is a list of several targets' arrays. The schema's metadata has nothing.
"""

import secrets
from typing import Final

import msgspec

from shared.ids import BatchId
from shared.names import OnError, Output
from shared.objects import PREFIX

FEATURE: Final = "f"
CARRIED: Final = "c"
ERROR: Final = "error"
"""The column of reasons, of rows and of results."""
JSON_MARK: Final = "\x01"
"""What a carried text begins with if the rest is JSON."""
OUTPUT: Final = b"output"
"""The key in the metadata of a result's field."""
TARGET: Final = b"target"
"""The key for the index of its target, in the metadata of a field of an output that has several."""
MARKER: Final = f"{PREFIX}marker"
"""The key of the marker of the store whose predictions an object store holds: it is written before any rows."""
MAX_LISTED_ERRORS: Final = 100
"""Of the rows that a refusal or a failure lists."""


class Source(msgspec.Struct, array_like=True, frozen=True):
    """The rows of a bulk prediction, and what to do with them."""

    key: str
    n_rows: int
    n_bytes: int
    batch_rows: int
    """Rows of each record batch but the last."""
    on_error: OnError = OnError.FAIL
    outputs: tuple[Output, ...] = ()
    """The outputs to give; empty for the model's default."""
    carried: tuple[str, ...] = ()
    """Names of the carried columns."""
    n_bad: int = 0
    """Rows that the reading refused."""

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
    """Empty if there is no object: the slice is one row that no attempt survived, and `error` says so."""
    n_bytes: int
    n_bad: int = 0
    """Rows without a result, those that the reading refused included."""
    error: str = ""

    def encode(self) -> bytes:
        """Encode as MessagePack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "SliceResult":
        """Decode from MessagePack."""
        return msgspec.msgpack.decode(raw, type=cls)


def objects_prefix(batch_id: BatchId) -> str:
    """Return what all keys of a bulk prediction begin with."""
    return f"{PREFIX}{batch_id}/"


def rows_key(batch_id: BatchId) -> str:
    """Make the key of the rows of a bulk prediction."""
    return f"{objects_prefix(batch_id)}rows-{secrets.token_hex(4)}.arrow"


def result_key(slice_id: BatchId, token: int) -> str:
    """Make the key of the result of an attempt at a slice; no two attempts have the same."""
    parent, _, index = slice_id.partition(".")
    return f"{objects_prefix(BatchId(parent))}results/{index}-{token}-{secrets.token_hex(4)}.arrow"
