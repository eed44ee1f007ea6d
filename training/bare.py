"""`python -m training card FILE`: makes a model directory of a pipeline that was pickled elsewhere."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from shared.distributions import missing_module
from shared.errors import CannotServe
from training import skops_file
from training.artifact import save
from training.code import importable_code
from training.outputs import outputs_of

_N_MADE_UP: Final = 50
"""Rows of random numbers that stand for the data of a matrix of which no data is given."""


def make_card(
    artifact: Path,
    models_dir: Path,
    *,
    name: str,
    version: str,
    data: Path | None = None,
    stand_in: Any = None,
    dtypes: Mapping[str, str] | None = None,
    nullable: bool | Collection[str] = False,
    source: str | None = None,
    code: Sequence[Path] = (),
    trusted_types: Collection[str] = (),
) -> Path:
    """Write `models_dir/name/version/` for the file of a pipeline, which is copied as it is, after the proof of `save`.

    Args:
        artifact: a file of skops (`.skops`), or one that joblib, pickle or cloudpickle wrote, which is unpickled: it
            can run any code.
        models_dir: the folder of all models.
        name: the model's name.
        version: the model's version.
        data: rows of what the pipeline was fitted on, as CSV or Parquet; further columns are ignored.
        stand_in: a frame or an array of rows like these, where no data is given; the card says nothing of what they
            hold.
        dtypes: the pandas dtypes of columns that a CSV file or the stand-in cannot tell, by name.
        nullable: as for `save`.
        source: where the training data comes from; the name of the file by default.
        code: as for `save`; this process imports it as a worker does.
        trusted_types: as for `save`.

    Returns:
        The model directory.

    Raises:
        ArtifactExists: this name and version exist, with another pipeline or card.
        CannotServe: the file cannot be loaded, more must be known, or `save` refuses the pipeline.
    """
    with importable_code(code):
        pipeline = load(artifact, trusted_types)
        outputs_of(pipeline)  # first: without any, the data does not matter
        if data is not None:
            stand_in = read_frame(data, dtypes or {})
        elif stand_in is None:
            stand_in = _made_up(pipeline)
        elif hasattr(stand_in, "columns"):
            stand_in = _with_dtypes(stand_in, dtypes or {}, "the input example")
        X, columns = select(pipeline, stand_in) if hasattr(stand_in, "columns") else (stand_in, None)
        return save(
            pipeline,
            models_dir,
            name=name,
            version=version,
            X=X,
            source=source or (data.name if data else "unknown"),
            columns=columns,
            nullable=nullable,
            artifact=artifact,
            code=code,
            as_skops=artifact.suffix == skops_file.SUFFIX,
            trusted_types=trusted_types,
            is_made_up=data is None,
        )


def load(artifact: Path, trusted_types: Collection[str] = ()) -> Any:
    """Load a pipeline from a pickle or a file of skops.

    Raises:
        CannotServe: it cannot be loaded here, or another minor version of scikit-learn wrote it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        pipeline = _load(artifact, trusted_types)
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            _check_version(artifact, warning.message)
    return pipeline


def _load(artifact: Path, trusted_types: Collection[str]) -> Any:
    try:
        if artifact.suffix == skops_file.SUFFIX:
            return skops_file.load(artifact, trusted_types)
        return joblib.load(artifact)
    except CannotServe:
        raise
    except ModuleNotFoundError as error:
        raise CannotServe(*missing_module(artifact.name, error.name)) from error
    except AttributeError as error:
        raise CannotServe(
            f"{artifact.name} cannot be loaded ({error})",
            "If a script or notebook defines that name, move it to a module, pickle again, and give that with --code.",
        ) from error
    except OSError as error:
        raise CannotServe(
            f"{artifact.name} cannot be read ({error.strerror or error})", "Give the path of a pickle."
        ) from error
    except Exception as error:  # unpickling raises anything
        raise CannotServe(
            f"{artifact.name} cannot be loaded ({type(error).__name__}: {error})",
            "Give a complete file that joblib, pickle, cloudpickle or skops wrote.",
        ) from error


def _check_version(artifact: Path, warning: InconsistentVersionWarning) -> None:
    made_with, installed = warning.original_sklearn_version, warning.current_sklearn_version
    if made_with.split(".")[:2] != installed.split(".")[:2]:
        raise CannotServe(
            f"{artifact.name} was made with scikit-learn {made_with}, but {installed} is installed",
            f"Fit it again with {installed}, or install scikit-learn=={made_with}.",
        )


def read_frame(data: Path, dtypes: Mapping[str, str]) -> Any:
    """Read a CSV or Parquet file as a pandas frame, with these dtypes.

    Raises:
        CannotServe: the file cannot be read so.
    """
    import pandas as pd  # here: a matrix of which no data is given needs no pandas

    try:
        if data.suffix == ".csv":
            dates = [name for name, dtype in dtypes.items() if dtype.startswith("datetime")]
            frame = pd.read_csv(data, parse_dates=dates)
        elif data.suffix == ".parquet":
            frame = pd.read_parquet(data)
        else:
            raise CannotServe(f"{data.name} is neither .csv nor .parquet", "Write the rows as CSV or Parquet.")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(data.name, error) from error
    return _with_dtypes(frame, dtypes, data.name)


def _with_dtypes(frame: Any, dtypes: Mapping[str, str], what: str) -> Any:
    try:
        return frame.astype(dict(dtypes))
    except (ValueError, TypeError, KeyError) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> CannotServe:
    return CannotServe(f"{what} cannot be read ({' '.join(str(error).split())})", "Correct the file or --dtypes.")


def select(pipeline: Any, frame: Any) -> tuple[Any, list[str] | None]:
    """Return of a frame what the pipeline was fitted on, and the names of the columns where that is a matrix.

    Raises:
        CannotServe: the frame lacks columns, or the pipeline does not say which ones it takes.
    """
    names = getattr(pipeline, "feature_names_in_", None)
    if names is not None:
        if absent := [str(name) for name in names if name not in frame.columns]:
            raise CannotServe(
                f"the data has no column {', '.join(absent)}", "Give rows with all columns of the pipeline."
            )
        return frame[list(names)], None
    n_columns = getattr(pipeline, "n_features_in_", None)
    if n_columns is None and len(frame.columns) == 1:
        return frame.iloc[:, 0].tolist(), None
    if n_columns is None:
        return frame, None
    if n_columns != len(frame.columns):
        raise CannotServe(
            f"the pipeline takes {n_columns} columns without names, the data has {len(frame.columns)}",
            "Give a file with these columns only, in their order.",
        )
    return frame.to_numpy(), [str(name) for name in frame.columns]


def _made_up(pipeline: Any) -> Any:
    n_columns = getattr(pipeline, "n_features_in_", None)
    if n_columns is None or hasattr(pipeline, "feature_names_in_"):
        names = ", ".join(map(str, getattr(pipeline, "feature_names_in_", ()))) or "unknown"
        raise CannotServe(
            f"the types of the pipeline's columns cannot be read from it (columns: {names})",
            "Give --data: a CSV or Parquet file with some rows of what it was fitted on.",
        )
    return np.random.default_rng(0).standard_normal((_N_MADE_UP, n_columns))
