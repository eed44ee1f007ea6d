"""The columns of a result: names, types, metadata, rows without a result; and that they hold what JSON answers hold."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from shared.names import Output
from shared.objects import ObjectStore
from tests.request_path import card_of
from training.inputs import describe_input
from worker.pool.result_table import ResultEncoder, write_table

INPUT = describe_input(None, np.zeros((1, 1)))
PREDICTION, LOG_PROBA, PROBA = Output.PREDICTION, Output.LOG_PROBA, Output.PROBA
INF = float("inf")


def table(outputs: dict[Output, Any], *args: Any, classes: Any = None) -> pa.Table:
    return ResultEncoder(card_of(INPUT, classes=classes)).encode(outputs, *args)


def test_columns_are_named_by_output_and_class() -> None:
    proba = np.array([[0.0, 1.0], [0.5, 0.5]])
    found = table(
        {PREDICTION: np.array(["a_1", "b"]), LOG_PROBA: np.log(proba, where=proba > 0, out=np.full((2, 2), -INF)),
         PROBA: proba, Output.DECISION: np.array([1.5, 2.0]), Output.TRANSFORM: proba[:, :1]},
        classes=["a_1", "b"],
    )  # fmt: skip
    assert found.to_pydict() == {
        "prediction": ["a_1", "b"],
        "log_proba_a_1": [-INF, np.log(0.5)],
        "log_proba_b": [0.0, np.log(0.5)],
        "proba_a_1": [0.0, 0.5],
        "proba_b": [1.0, 0.5],
        "decision": [1.5, 2.0],
        "transform_0": [0.0, 0.5],
    }
    assert [field.metadata for field in found.schema] == [
        {b"output": output} for output in
        (b"prediction", b"log_proba", b"log_proba", b"proba", b"proba", b"decision", b"transform")
    ]  # fmt: skip


def test_columns_of_several_targets_have_their_indices() -> None:
    proba = [np.array([[0.5, 0.5]]), np.array([[0.0, 0.25, 0.75]])]
    found = table({PREDICTION: np.array([[1, 2]]), PROBA: proba}, classes=[[0, 1], ["x", "y", "z"]])
    assert found.to_pydict() == {
        "prediction_0": [1], "prediction_1": [2],
        "proba_0_0": [0.5], "proba_0_1": [0.5], "proba_1_x": [0.0], "proba_1_y": [0.25], "proba_1_z": [0.75],
    }  # fmt: skip
    assert [field.metadata.get(b"target") for field in found.schema] == [None, None, b"0", b"0", b"1", b"1", b"1"]


def test_decisions_of_pairs_of_classes_are_not_named_by_classes() -> None:
    found = table({Output.DECISION: np.zeros((1, 3))}, classes=["a", "b", "c"])
    assert found.column_names == ["decision_0", "decision_1", "decision_2"]


MOMENTS = np.array(["2026-01-31T01:02:03", "NaT"], dtype="datetime64[s]")
COLUMNS: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    **{
        name: (np.array([0, 1], dtype=name), getattr(pa, name)(), [0, 1])
        for name in ("int8", "uint16", "int32", "int64", "uint64", "float32", "float64")
    },
    "bool": (np.array([True, False] * 9), pa.bool_(), [True, False] * 9),
    "half": (np.array([0.5], dtype="float16"), pa.float32(), [0.5]),
    "long": (np.array([0.5], dtype="longdouble"), pa.float64(), [0.5]),
    "big-endian": (np.array([1, 2], dtype=">i8"), pa.int64(), [1, 2]),
    "infinite": (np.array([INF, -INF]), pa.float64(), [INF, -INF]),
    "texts": (np.array(["a", "", "Zürich 🐧"]), pa.string(), ["a", "", "Zürich 🐧"]),
    "objects of texts": (np.array(["a", "\0"], dtype=object), pa.string(), ["a", "\0"]),
    "objects of integers": (np.array([1, 2], dtype=object), pa.int64(), [1, 2]),
    "objects of numbers": (np.array([1, 2.5], dtype=object), pa.float64(), [1.0, 2.5]),
    "objects of booleans": (np.array([True, False], dtype=object), pa.bool_(), [True, False]),
    "objects of all kinds": (np.array([1, "a", None, True], dtype=object), pa.string(), ["1", "a", None, "true"]),
    "dates": (np.array([date(2026, 1, 31)], dtype=object), pa.string(), ["2026-01-31"]),
    "datetimes": (MOMENTS, pa.string(), ["2026-01-31T01:02:03", None]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_values_keep_their_types(kind: str) -> None:
    values, expected_type, expected = COLUMNS[kind]
    (column,) = table({PREDICTION: values}).columns
    column.validate(full=True)
    assert column.type == expected_type
    assert column.to_pylist() == expected


@pytest.mark.parametrize("kind", COLUMNS)
def test_rows_without_a_result_are_null(kind: str) -> None:
    values, expected_type, expected = COLUMNS[kind]
    indices = np.arange(len(values)) * 2 + 1
    errors = [None if index in indices else "bad" for index in range(2 * len(values) + 1)]
    found = table({PREDICTION: values}, indices, pa.array(errors))
    found.validate(full=True)
    assert found.schema.field("prediction").type == expected_type
    assert found["prediction"].to_pylist()[1::2] == expected
    assert found["prediction"].to_pylist()[::2] == [None] * (len(values) + 1)
    assert found["error"].to_pylist() == errors


def test_slice_without_errors_has_their_column_if_they_are_reported() -> None:
    found = table({PREDICTION: np.array([1, 2])}, None, pa.nulls(2, pa.string()))
    assert found.to_pydict() == {"prediction": [1, 2], "error": [None, None]}


def test_written_table_is_read_again(tmp_path: Path) -> None:
    store = ObjectStore.open(str(tmp_path))
    result = table({PREDICTION: np.arange(100_000)})
    n_bytes = write_table(store, "sepal/result.arrow", result)
    assert n_bytes == store.size("sepal/result.arrow")
    reader = pa.ipc.open_file(pa.BufferReader(store.read("sepal/result.arrow", 0, n_bytes)))
    assert [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)] == [65_536, 34_464]
    assert reader.read_all().equals(result, check_metadata=True)
