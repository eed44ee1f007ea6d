"""Reads a model directory of MLflow with the scikit-learn flavour: the pipeline's file, its code, and example rows.

An MLflow signature records no categories, datetime units or markers of missing values, and an input example contains
only some of them. So the command line prints which columns it has guessed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np

from shared.distributions import pip_install_command
from shared.errors import CannotServe
from training.skops_file import SUFFIX

_N_RANDOM_ROWS: Final = 50
_DTYPES: Final = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "string": "str",
    "datetime": "datetime64[ns]",
}
"""pandas dtypes by MLflow column type."""
_DATABASE_SCHEMES: Final = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_DATABASE_LIBRARIES: Final = ("sqlalchemy", "alembic")
_NUMBER_TYPES: Final = frozenset({"double", "float", "long", "integer"})
_NULLABLE_TYPES: Final = frozenset({"double", "float", "string", "datetime"})


@dataclass(frozen=True)
class MlflowModel:
    """The contents of an MLflow model directory."""

    artifact: Path
    code: list[Path]
    rows: Any
    """Rows like the training data: a frame or an array; None if there is no example and none can be generated."""
    origin: str
    """A phrase for the source of the rows."""
    columns: list[str] = field(default_factory=list)
    """Column names of the signature, else of the input example; empty if neither has names."""
    nullable: list[str] = field(default_factory=list)
    """Columns that the signature declares optional and whose types can store a missing value."""


def locate_model(path_or_uri: str, tracking_uri: str | None) -> Path:
    """Return the folder of a model, given as a path or by a URI such as `runs:/<id>/model` or `models:/churn/3`.

    Raises:
        CannotServe: there is no such model, or MLflow is not installed.
    """
    if (path := Path(path_or_uri)).exists():
        return path
    if path_or_uri.startswith("file:"):
        return Path(unquote(urlsplit(path_or_uri).path))
    if ":/" not in path_or_uri:
        raise CannotServe(f"there is no folder {path_or_uri}", "Give the folder of an MLflow model, or its URI.")
    _import_mlflow()
    from mlflow import MlflowException, artifacts, get_tracking_uri, set_tracking_uri

    try:
        if tracking_uri is not None:
            set_tracking_uri(tracking_uri)  # also sets the registry
        return Path(artifacts.download_artifacts(artifact_uri=path_or_uri))
    except (MlflowException, OSError) as error:
        _check_database_libraries(get_tracking_uri())
        raise CannotServe(
            f"MLflow cannot find the model {path_or_uri} ({' '.join(str(error).split())})",
            "Correct the URI, or give --tracking-uri with the address of the server or the folder of the runs.",
        ) from error


def _check_database_libraries(tracking_uri: str) -> None:
    """Check that the libraries of MLflow's database, its default store since version 3.7, are installed."""
    if tracking_uri.partition(":")[0].partition("+")[0] not in _DATABASE_SCHEMES:
        return
    if absent := [name for name in _DATABASE_LIBRARIES if find_spec(name) is None]:
        raise CannotServe(
            f"mlflow-skinny alone cannot read the database of MLflow, {tracking_uri.rpartition('@')[2]}",
            "Give the folder of the model instead, such as mlruns/0/models/m-…/artifacts; "
            f"or install the libraries that read it: {pip_install_command(*absent)}; "
            "or give --tracking-uri with the address of a server or the folder of the runs.",
        )


def read_model(folder: Path) -> MlflowModel:
    """Read a model directory without unpickling or importing anything from it.

    Raises:
        CannotServe: it is not an MLflow model directory with the scikit-learn flavour, or MLflow is not installed.
    """
    if not (folder / "MLmodel").is_file():
        raise CannotServe(
            f"{folder} is not an MLflow model: it has no file MLmodel", "Give the folder that contains MLmodel."
        )
    _import_mlflow()
    from mlflow.models import Model

    model = Model.load(str(folder))
    flavor = model.flavors.get("sklearn")
    if flavor is None:
        flavors = ", ".join(name for name in model.flavors if name != "python_function") or "python_function"
        raise CannotServe(
            f"{folder} has no scikit-learn flavour, but: {flavors}",
            "Load it with MLflow, and give the fitted estimator to `save`; or log it with mlflow.sklearn.log_model.",
        )
    rows, origin = _read_rows(model, folder)
    return MlflowModel(
        _find_artifact(folder, flavor),
        _find_code(folder, flavor),
        rows,
        origin,
        _column_names(model, rows),
        _nullable_columns(model),
    )


def _import_mlflow() -> None:
    # Set before the import, so that MLflow sends no telemetry and can read runs in folders.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        import mlflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise CannotServe(
            f"reading an MLflow model needs MLflow ({error})", f"Install it: {pip_install_command('mlflow-skinny')}."
        ) from error


def _find_artifact(folder: Path, flavor: Mapping[str, Any]) -> Path:
    path = folder / str(flavor.get("pickled_model"))
    is_skops = flavor.get("serialization_format") == "skops"
    if not path.is_file() or is_skops != (path.suffix == SUFFIX):
        raise CannotServe(
            f"{folder} has no file {path.name} of the format {flavor.get('serialization_format')}, which MLmodel names",
            "Give a complete model directory, as MLflow wrote it.",
        )
    return path


def _find_code(folder: Path, flavor: Mapping[str, Any]) -> list[Path]:
    code = flavor.get("code")
    return sorted(path for path in (folder / str(code)).iterdir() if path.name != "__pycache__") if code else []


def _read_rows(model: Any, folder: Path) -> tuple[Any, str]:
    """Return example rows, or random rows for a signature of numbers, or None; and a phrase for their source."""
    schema = model.get_input_schema()
    if model.saved_input_example_info is not None:
        rows = model.load_input_example(str(folder))
        if hasattr(rows, "columns") and schema is not None and schema.has_input_names():
            dtypes = {each.name: _DTYPES.get(each.type.name) for each in schema.inputs if hasattr(each.type, "name")}
            rows = rows.astype({name: dtype for name, dtype in dtypes.items() if dtype and name in rows.columns})
        if hasattr(rows, "columns") or getattr(rows, "ndim", 0) == 2:
            return rows, f"the input example ({len(rows)} rows)"
    if schema is None:
        return None, "the pipeline alone (the model has neither an input example nor a signature)"
    return _make_random_rows(schema), "the signature (the rows of the proof are random numbers)"


def _make_random_rows(schema: Any) -> Any:
    """Return random rows for a signature of numbers; None for any other signature."""
    random = np.random.default_rng(0)
    if schema.is_tensor_spec():
        (spec, *others), shape = schema.inputs, schema.inputs[0].shape
        if others or len(shape) != 2 or shape[1] < 1 or spec.type.kind not in "fiu":
            return None
        return random.integers(0, 10, (_N_RANDOM_ROWS, shape[1])).astype(spec.type)
    names = [getattr(each.type, "name", "") for each in schema.inputs]
    if not _NUMBER_TYPES.issuperset(names) or not schema.has_input_names():
        return None
    import pandas as pd

    dtypes = [_DTYPES[name] for name in names]
    columns = {
        each.name: random.integers(0, 10, _N_RANDOM_ROWS).astype(dtype)
        for each, dtype in zip(schema.inputs, dtypes, strict=True)
    }
    return pd.DataFrame(columns)


def _column_names(model: Any, rows: Any) -> list[str]:
    schema = model.get_input_schema()
    if schema is not None and schema.has_input_names():
        return list(schema.input_names())
    return list(getattr(rows, "columns", ()))


def _nullable_columns(model: Any) -> list[str]:
    """Return the columns that the signature declares optional and whose types can store a missing value."""
    schema = model.get_input_schema()
    if schema is None or schema.is_tensor_spec():
        return []
    return [
        each.name for each in schema.inputs if not each.required and getattr(each.type, "name", "") in _NULLABLE_TYPES
    ]
