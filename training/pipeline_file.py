"""`python -m training card FILE`: saves a pipeline that is already in a file, such as a pickle."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from shared.distributions import describe_missing_module, pip_install_command
from shared.errors import CannotServe
from training import skops_file
from training.artifact import check_name_and_version, save
from training.code import make_code_importable
from training.columns import Selection, select_columns
from training.outputs import find_outputs

_N_RANDOM_ROWS: Final = 50
"""Rows of random numbers, as the stand-in for the training data of a matrix if none is given."""
_RANDOM_DECIMALS: Final = 2  # few, because `make run` prints a request with such rows
_DTYPE_ABBREVIATIONS: Final = {"datetime": "datetime64[ns]", "datetime64": "datetime64[ns]"}
_COLUMNS_HINT: Final = "If the pipeline takes fewer columns, name those that it takes with --columns a,b."
_CSV_HINT: Final = (
    "A CSV file does not record categories and datetimes: specify them, for example with "
    "--dtypes island=category signed_up=datetime64[ns]."
)


class SavedModel(NamedTuple):
    """A model directory, and the source of the columns of its card."""

    model_dir: Path
    origin: str
    """A phrase that follows "columns, "."""


def save_pipeline_file(
    artifact: Path,
    models_dir: Path,
    *,
    name: str,
    version: str,
    data: Path | None = None,
    stand_in: Any = None,
    columns: Sequence[str] = (),
    columns_source: str = "--columns",
    dtypes: Mapping[str, str] | None = None,
    nullable: bool | Collection[str] = False,
    source: str | None = None,
    code: Sequence[Path] = (),
    trusted_types: Collection[str] = (),
) -> SavedModel:
    """Save a pipeline that is in a file, as `save` does; the file is copied unchanged.

    Args:
        artifact: a skops file (`.skops`), or a file that joblib, pickle or cloudpickle wrote, which is unpickled and
            can therefore run any code.
        models_dir: the folder of all models.
        name: the model's name.
        version: the model's version.
        data: rows of the training data, as CSV or Parquet.
        stand_in: a frame or an array of similar rows, used if `data` is None; the card contains no summaries of them.
        columns: the columns of the data that the pipeline takes, if it does not name them itself; all by default.
        columns_source: a phrase for the source of `columns`, for messages.
        dtypes: pandas dtypes, by column name, that a CSV file or the stand-in does not record.
        nullable: as for `save`.
        source: where the training data comes from; the name of the file by default.
        code: as for `save`; this process imports it, too.
        trusted_types: as for `save`.

    Returns:
        The model directory, and the source of its columns.

    Raises:
        ArtifactExists: this name and version exist with another pipeline or card.
        CannotServe: the file cannot be loaded, an option is missing, or `save` refuses the pipeline.
    """
    check_name_and_version(name, version)
    with make_code_importable(code):
        pipeline = load_pipeline(artifact, trusted_types)
        find_outputs(pipeline)  # before the data is read: a pipeline without outputs is refused
        with _add_hints_to_refusals(data) as hints:
            selected = _select_rows(pipeline, data, stand_in, dtypes or {}, columns, columns_source)
            if data is not None and not (columns or hasattr(pipeline, "n_features_in_")):
                hints.insert(0, _COLUMNS_HINT)
            model_dir = save(
                pipeline,
                models_dir,
                name=name,
                version=version,
                X=selected.X,
                source=source or (data.name if data else "unknown"),
                columns=selected.names,
                nullable=nullable,
                artifact=artifact,
                code=code,
                as_skops=artifact.suffix == skops_file.SUFFIX,
                trusted_types=trusted_types,
                is_made_up=data is None,
            )
    return SavedModel(model_dir, selected.origin)


@contextmanager
def _add_hints_to_refusals(data: Path | None) -> Iterator[list[str]]:
    """Append hints to the remedy of a refusal, such as that a CSV file lacks the types of the training data."""
    hints = [_CSV_HINT] if data is not None and data.suffix == ".csv" else []
    try:
        yield hints
    except CannotServe as error:
        if "--dtypes" in error.remedy:
            raise
        raise CannotServe(error.problem, " ".join([error.remedy, *hints])) from error


def _select_rows(
    pipeline: Any,
    data: Path | None,
    stand_in: Any,
    dtypes: Mapping[str, str],
    columns: Sequence[str],
    columns_source: str,
) -> Selection:
    """Return the rows that the card describes."""
    dtypes = {name: _DTYPE_ABBREVIATIONS.get(dtype, dtype) for name, dtype in dtypes.items()}
    data_name = "the input example"
    if data is not None:
        stand_in, data_name = read_frame(data, dtypes), data.name
    elif stand_in is None:
        origin = f"as {columns_source} names them" if columns else "which the pipeline does not name"
        return Selection(_make_random_rows(pipeline), list(columns) or None, f"{origin} (the rows are random numbers)")
    elif hasattr(stand_in, "columns"):
        stand_in = _convert_dtypes(stand_in, dtypes, data_name)
    if not hasattr(stand_in, "columns"):
        return Selection(stand_in, list(columns) or None, f"of {data_name}")
    return select_columns(pipeline, stand_in, data_name, columns, columns_source)


def load_pipeline(artifact: Path, trusted_types: Collection[str] = ()) -> Any:
    """Load a pipeline from a pickle or a skops file.

    Raises:
        CannotServe: it cannot be loaded, or was written by another minor version of scikit-learn.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        pipeline = _load_file(artifact, trusted_types)
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            _check_sklearn_version(artifact, warning.message)
    return pipeline


def _load_file(artifact: Path, trusted_types: Collection[str]) -> Any:
    try:
        if artifact.suffix == skops_file.SUFFIX:
            return skops_file.load(artifact, trusted_types)
        return joblib.load(artifact)
    except CannotServe:
        raise
    except ModuleNotFoundError as error:
        raise CannotServe(*describe_missing_module(artifact.name, error.name, is_here=True)) from error
    except AttributeError as error:
        raise CannotServe(
            f"{artifact.name} cannot be loaded ({error})",
            "If a script or notebook defines that name, move it to a module, pickle again, and give that with --code.",
        ) from error
    except OSError as error:
        raise CannotServe(
            f"{artifact.name} cannot be read ({error.strerror or error})", "Give the path of a pickle."
        ) from error
    except Exception as error:  # unpickling can raise any exception
        raise CannotServe(
            f"{artifact.name} cannot be loaded ({type(error).__name__}: {error})",
            "Give a complete file that joblib, pickle, cloudpickle or skops wrote.",
        ) from error


def _check_sklearn_version(artifact: Path, warning: InconsistentVersionWarning) -> None:
    made_with, installed = warning.original_sklearn_version, warning.current_sklearn_version
    if made_with.split(".")[:2] != installed.split(".")[:2]:
        raise CannotServe(
            f"{artifact.name} was made with scikit-learn {made_with}, but {installed} is installed",
            f"Fit it again with {installed}, or install the other: "
            f"{pip_install_command(f'scikit-learn=={made_with}')}.",
        )


def read_frame(data: Path, dtypes: Mapping[str, str]) -> Any:
    """Read a CSV or Parquet file as a pandas frame, with these dtypes.

    Raises:
        CannotServe: the file is neither CSV nor Parquet, or cannot be read with these dtypes.
    """
    import pandas as pd  # imported here: without data, a matrix needs no pandas

    try:
        if data.suffix == ".csv":
            dates = [name for name, dtype in dtypes.items() if dtype.startswith("datetime")]
            frame = pd.read_csv(data, parse_dates=dates)
        elif data.suffix == ".parquet":
            frame = pd.read_parquet(data)
        else:
            raise CannotServe(f"{data.name} is neither .csv nor .parquet", "Write the rows as CSV or Parquet.")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable_data_error(data.name, error) from error
    return _convert_dtypes(frame, dtypes, data.name)


def _convert_dtypes(frame: Any, dtypes: Mapping[str, str], data_name: str) -> Any:
    try:
        return frame.astype(dict(dtypes))
    except (ValueError, TypeError, KeyError) as error:
        raise _unreadable_data_error(data_name, error) from error


def _unreadable_data_error(data_name: str, error: Exception) -> CannotServe:
    return CannotServe(
        f"{data_name} cannot be read ({' '.join(str(error).split())})",
        "Correct the file or --dtypes, for example --dtypes island=category signed_up=datetime64[ns].",
    )


def _make_random_rows(pipeline: Any) -> Any:
    n_columns = getattr(pipeline, "n_features_in_", None)
    if n_columns is None or hasattr(pipeline, "feature_names_in_"):
        names = ", ".join(map(str, getattr(pipeline, "feature_names_in_", ()))) or "unknown"
        raise CannotServe(
            f"the types of the pipeline's columns cannot be read from it (columns: {names})",
            "Give --data: a CSV or Parquet file with some rows of what it was fitted on.",
        )
    return np.random.default_rng(0).standard_normal((_N_RANDOM_ROWS, n_columns)).round(_RANDOM_DECIMALS)
