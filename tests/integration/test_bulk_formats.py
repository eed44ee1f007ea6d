"""Every format of an upload and of a result, with the same rows and the values of `POST /predict`."""

import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.bulk.formats import MEDIA_TYPES, Format
from tests.stack import Gateway
from tests.tables import FORMATS, Columns, Row, exact, parse_table
from tests.uploads import accepted, csv_of, download, upload

Rows = Sequence[Sequence[Any]]

_NUMBERS: Final = {"-Infinity": -np.inf, "Infinity": np.inf, "NaN": np.nan}


def write_json(_: Sequence[str], rows: Rows) -> bytes:
    return json.dumps({"data": rows}).encode()


def write_arrays(_: Sequence[str], rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_objects(names: Sequence[str], rows: Rows) -> bytes:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()


def write_csv(names: Sequence[str], rows: Rows) -> bytes:
    texts = [["" if value is None else value for value in row] for row in rows]
    return b"\xef\xbb\xbf" + csv_of(",".join(names), texts).replace("\n", "\r\n").encode()


def write_csv_in_another_order(names: Sequence[str], rows: Rows) -> bytes:
    return write_csv(names[::-1], [row[::-1] for row in rows])


def as_table(names: Sequence[str], rows: Rows) -> Any:
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def write_arrow(names: Sequence[str], rows: Rows) -> bytes:
    table = as_table(names, rows)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return sink.getvalue()


def write_parquet(names: Sequence[str], rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(as_table(names, rows), sink, row_group_size=9)
    return sink.getvalue()


WRITERS: Final[dict[str, tuple[Format, Callable[[Sequence[str], Rows], bytes]]]] = {
    "json": (Format.JSON, write_json),
    "ndjson arrays": (Format.NDJSON, write_arrays),
    "ndjson objects": (Format.NDJSON, write_objects),
    "csv": (Format.CSV, write_csv),
    "csv in another order": (Format.CSV, write_csv_in_another_order),
    "arrow": (Format.ARROW, write_arrow),
    "parquet": (Format.PARQUET, write_parquet),
}
CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "zstd": lambda body: bytes(pa.compress(body, codec="zstd", asbytes=True)),
}


class Model:
    """A served model, rows of it with missing values where it allows them, and what it says about them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        card = gateway.client.get("/model").json()
        self.names = [column["name"] for column in card["input"]["columns"]]
        rows = [list(row) for row in card["example"]]
        for index, column in enumerate(card["input"]["columns"]):
            if column.get("nullable"):
                rows.append([None if at == index else value for at, value in enumerate(card["example"][0])])
        self.rows = rows * 5
        classes = card["classes"]
        self.columns: Columns = {"prediction": type(classes[0]), **{f"log_proba_{each}": float for each in classes}}
        answer = gateway.predict(self.rows).json()
        self.expected: list[Row] = [
            (label, *(_NUMBERS.get(value, value) for value in values))
            for label, values in zip(answer["prediction"], answer["log_proba"], strict=True)
        ]


@pytest.fixture(scope="module")
def models(request: pytest.FixtureRequest) -> dict[str, Model]:
    return {name: Model(request.getfixturevalue(name)) for name in ("iris", "penguins")}


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("name", ["iris", "penguins"])
def test_rows_in_any_format_have_the_same_results_in_any_format(
    models: dict[str, Model], name: str, written: str
) -> None:
    model = models[name]
    form, write = WRITERS[written]
    location = accepted(model.gateway, write(model.names, model.rows), MEDIA_TYPES[form])
    for wanted in FORMATS:
        result = download(model.gateway, location, MEDIA_TYPES[Format(wanted)])
        assert result.status_code == 200
        assert exact(parse_table(result.content, wanted, model.columns)) == exact(model.expected), wanted


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("written", WRITERS)
def test_compressed_rows_have_the_same_results(models: dict[str, Model], written: str, coding: str) -> None:
    model = models["penguins"]
    form, write = WRITERS[written]
    body = CODINGS[coding](write(model.names, model.rows))
    location = accepted(model.gateway, body, MEDIA_TYPES[form], Content_Encoding=coding)
    result = download(model.gateway, location)
    assert exact(parse_table(result.content, "csv", model.columns)) == exact(model.expected)


@pytest.mark.parametrize("wanted", FORMATS)
def test_carried_columns_come_first_and_bad_rows_are_reported(models: dict[str, Model], wanted: str) -> None:
    model = models["iris"]
    rows = [["000123", *model.rows[0]], ["=1+1", *model.rows[1]], ["NaN", "nonsense", *model.rows[1][1:]]]
    body = csv_of(",".join(["customer", *model.names]), rows)
    location = accepted(model.gateway, body, query="?carry=customer&on_error=report")
    shown = model.gateway.poll(location)
    assert shown.json()["rows"] == {"done": 3, "total": 3, "bad": 1}
    columns = {"customer": str, **model.columns, "error": str}
    result = parse_table(download(model.gateway, location, MEDIA_TYPES[Format(wanted)]).content, wanted, columns)
    assert [row[0] for row in result] == ["000123", "=1+1", "NaN"]
    assert exact([row[1:] for row in result[:2]]) == exact([(*row, None) for row in model.expected[:2]])
    assert result[2][1:-1] == (None,) * len(model.columns)
    assert "nonsense" in result[2][-1] or model.names[0] in result[2][-1]


def test_rows_that_do_not_fit_are_listed(models: dict[str, Model]) -> None:
    model = models["iris"]
    body = csv_of(",".join(model.names), [model.rows[0], ["", *model.rows[0][1:]], ["a", *model.rows[0][1:]]])
    refused = upload(model.gateway, body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-rows")
    assert [each["pointer"].split("/")[:3] for each in refused.json()["errors"]] == [
        ["", "data", "1"],
        ["", "data", "2"],
    ]
    assert all("Line" in each["detail"] for each in refused.json()["errors"])


def test_outputs_are_those_that_were_asked_for(models: dict[str, Model], tmp_path: Path) -> None:
    model = models["iris"]
    location = accepted(model.gateway, write_csv(model.names, model.rows), query="?outputs=proba")
    result = download(model.gateway, location, MEDIA_TYPES[Format.PARQUET])
    path = tmp_path / "result.parquet"
    path.write_bytes(result.content)
    assert pq.read_table(path).column_names == ["proba_0", "proba_1", "proba_2"]
    asked_in_body = json.dumps({"data": model.rows, "outputs": ["proba"]})
    location = accepted(model.gateway, asked_in_body, MEDIA_TYPES[Format.JSON])
    assert download(model.gateway, location).text.splitlines()[0] == "proba_0,proba_1,proba_2"
