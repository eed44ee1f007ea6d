"""`python -m benchmarks.bulk.local MODEL_DIR`: a local script that scores files in one process with pyarrow.

It loads the pipeline, predicts the card's example rows, and writes "ready". Then it reads lines, each with an input and
an output path, scores the file with `predict` and `predict_log_proba`, and writes the seconds and CPU seconds taken.
"""

import sys
import time
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from shared.card import read_card

_CSV_OPTIONS: Final = csv.ConvertOptions(strings_can_be_null=True)  # an empty cell is a missing value


def main() -> None:
    """Process lines until stdin ends."""
    folder = Path(sys.argv[1])
    card = read_card(folder)
    pipeline = joblib.load(folder / card.artifact)
    names = [column.name for column in card.input.columns]
    is_matrix = card.input.kind == "matrix"
    example = pa.table(dict(zip(names, zip(*card.example, strict=True), strict=True)))
    _predict(pipeline, _pipeline_input(example, names, is_matrix=is_matrix))
    print("ready", flush=True)
    for line in sys.stdin:
        source, target = line.split()
        began, began_cpu = time.perf_counter(), time.process_time()
        table = (
            csv.read_csv(source, convert_options=_CSV_OPTIONS)
            if source.endswith(".csv")
            else parquet.read_table(source)
        )
        parquet.write_table(_predict(pipeline, _pipeline_input(table, names, is_matrix=is_matrix)), target)
        print(time.perf_counter() - began, time.process_time() - began_cpu, flush=True)


def _pipeline_input(table: Any, names: list[str], *, is_matrix: bool) -> Any:
    return np.column_stack([table[name].to_numpy() for name in names]) if is_matrix else table.to_pandas()


def _predict(pipeline: Any, rows: Any) -> Any:
    with np.errstate(divide="ignore"):  # the log of a zero probability
        prediction, log_proba = pipeline.predict(rows), pipeline.predict_log_proba(rows)
    columns = {"prediction": pa.array(prediction)}
    columns |= {f"log_proba_{label}": pa.array(log_proba[:, index]) for index, label in enumerate(pipeline.classes_)}
    return pa.table(columns)


if __name__ == "__main__":
    main()
