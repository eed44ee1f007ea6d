"""Writes the files to score: rows of a model's training data, drawn with replacement."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from training.recipes import RECIPES

_CHUNK_ROWS: Final = 1_000_000
_SEED: Final = 7


def write_file(model: str, format_name: str, n_rows: int, folder: Path) -> Path:
    """Write `n_rows` rows as `csv`, `parquet` or `json`, unless the file exists; return its path."""
    path = folder / f"{model}-{n_rows}.{format_name}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _WRITERS[format_name](unfinished, _sample_tables(model, n_rows))
        unfinished.rename(path)
    return path


def _sample_tables(model: str, n_rows: int) -> Iterator[Any]:
    """Yield tables of at most `_CHUNK_ROWS` rows."""
    data = RECIPES[model].load()
    frame = pd.DataFrame(data.X, columns=data.columns)
    generator = np.random.default_rng(_SEED)
    for start in range(0, n_rows, _CHUNK_ROWS):
        indices = generator.integers(0, len(frame), min(_CHUNK_ROWS, n_rows - start))
        yield pa.Table.from_pandas(frame.iloc[indices], preserve_index=False)


def _table_writer(make_writer: Callable[[Path, Any], Any]) -> Callable[[Path, Iterator[Any]], None]:
    def write_tables(path: Path, tables: Iterator[Any]) -> None:
        first = next(tables)
        with make_writer(path, first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)

    return write_tables


def _write_json(path: Path, tables: Iterator[Any]) -> None:
    """Write a body of `POST /predict`."""
    with path.open("w") as file:
        file.write('{"data":[')
        for number, table in enumerate(tables):
            rows = table.to_pandas().to_json(orient="values", double_precision=15)
            file.write(f"{',' if number else ''}{rows[1:-1]}")
        file.write("]}")


_WRITERS: Final[dict[str, Callable[[Path, Iterator[Any]], None]]] = {
    "csv": _table_writer(csv.CSVWriter),
    "parquet": _table_writer(parquet.ParquetWriter),
    "json": _write_json,
}
