"""Compares encodings of a data frame's rows: bytes a row, and milliseconds from the bytes to the frame.

    python -m benchmarks.frames

A batch has either many members of one row each, or one member with all rows. Arrow is measured with a stream for each
member; it would need pyarrow in the gateway process, which Sepal's does not import.
"""

import gc
import io
import statistics
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from shared.card import read_card
from shared.rows import EncodedRows, Encoding, encode_one_batch
from tests.models import train_recipe
from training.recipes import RECIPES
from training.sample import to_client_rows
from worker.pool.pandas_frame import PandasDecoder

_MODELS_DIR: Final = Path(".bench/models")
_BATCH_AND_MEMBER_ROWS: Final = ((1, 1), (64, 1), (1024, 1), (1024, 1024))
_CALLS: Final = 30


def main() -> None:
    """Print a line for each encoding and batch."""
    card = read_card(train_recipe(_MODELS_DIR, "penguins"))
    X = RECIPES["penguins"].load().X
    rows = to_client_rows(card.input, X)
    rows = (rows * 3)[:1024]
    frames = PandasDecoder(card.input.columns, card.input.names_dtype)
    gc.freeze()  # as a pool process does
    for n_rows, n_together in _BATCH_AND_MEMBER_ROWS:
        members = [rows[start : start + n_together] for start in range(0, n_rows, n_together)]
        for name, (encoded, decode) in {
            "MessagePack rows": _encode_as_messagepack(members, frames),
            "column blocks": _encode_as_blocks(members, frames),
            "Arrow streams": _encode_as_arrow(members, frames),
        }.items():
            n_bytes = sum(map(len, encoded)) / n_rows
            print(
                f"{n_rows:5} rows, {n_together:4} a member  {name:17} {n_bytes:7.0f} bytes"
                f"  {_median_milliseconds(decode):8.2f} ms"
            )


def _encode_as_messagepack(members: list[Any], frames: PandasDecoder) -> tuple[list[bytes], Callable[[], Any]]:
    encoded = [encode_one_batch(member, Encoding.MESSAGEPACK).content for member in members]
    whole = EncodedRows(b"".join(encoded), sum(map(len, members)), Encoding.MESSAGEPACK)
    return encoded, lambda: frames(whole)


def _encode_as_blocks(members: list[Any], frames: PandasDecoder) -> tuple[list[bytes], Callable[[], Any]]:
    encoded = [msgspec.msgpack.encode(list(zip(*member, strict=True))) for member in members]

    def decode() -> Any:
        blocks = [msgspec.msgpack.decode(block) for block in encoded]
        columns = [list(chain.from_iterable(parts)) for parts in zip(*blocks, strict=True)]
        return frames.build_frame(columns, len(columns[0]))

    return encoded, decode


def _encode_as_arrow(members: list[Any], frames: PandasDecoder) -> tuple[list[bytes], Callable[[], Any]]:
    encoded = []
    for member in members:
        table = pa.Table.from_pandas(frames.build_frame(zip(*member, strict=True), len(member)), preserve_index=False)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        encoded.append(sink.getvalue())

    def decode() -> Any:
        tables = [pa.ipc.open_stream(stream).read_all() for stream in encoded]
        return pa.concat_tables(tables).to_pandas()

    return encoded, decode


def _median_milliseconds(call: Callable[[], Any]) -> float:
    samples = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        call()
        samples.append((time.perf_counter() - began) * 1000)
    return statistics.median(samples)


if __name__ == "__main__":
    main()
