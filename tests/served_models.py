"""Models whose pipelines accept every value that their cards allow: tables of every type of column, and texts."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, FunctionTransformer, OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from shared.columns import FLOAT_TYPES, INTEGER_RANGES
from tests.models import train_once
from training.artifact import save
from training.recipes import RECIPES

_DAYS: Final = ["2024-02-29", "2025-07-01", "2026-01-31"]
_LABELS: Final = [0, 1, 0]


def years(moments: Any) -> Any:
    """Return the year of each datetime of a frame; NaN for one that is missing."""
    return moments.apply(lambda column: column.dt.year.astype("float64"))


def frame_of_every_type() -> Any:
    """Return three rows of each type of column, with and without missing values."""
    numbers = {each.value: pd.Series([1, 2, 3], dtype=each.value) for each in (*FLOAT_TYPES, *INTEGER_RANGES)}
    moments = pd.Series(_DAYS, dtype="datetime64[ns]")
    return pd.DataFrame(
        {
            **dict(sorted(numbers.items())),
            "float64_or_nan": [0.5, None, 2.5],
            "Int64_or_na": pd.array([1, None, 3], dtype="Int64"),
            **{f"datetime_{unit}": moments.astype(f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns")},
            "zoned": moments.astype("datetime64[us]").dt.tz_localize("Europe/Zurich"),
            "datetime_or_nat": pd.Series([_DAYS[0], None, _DAYS[2]], dtype="datetime64[us]"),
            "bool": [True, False, True],
            "boolean_or_na": pd.array([True, None, False], dtype="boolean"),
            "text": ["a", "b", "c"],
            "text_or_nan": ["a", None, "c"],
            "date": [date.fromisoformat(day) for day in _DAYS],
            "date_or_none": [date.fromisoformat(_DAYS[0]), None, date.fromisoformat(_DAYS[2])],
            "size": pd.Categorical(["small", "large", "small"], categories=["small", "large"], ordered=True),
            "size_or_nan": pd.Categorical(["small", None, "large"]),
            "grade": pd.Categorical([1, 2, 1]),
            "fit/fat ~": pd.Categorical(["fit", "fat", "fit"]),
        }
    )


def save_typed(models_dir: Path) -> Path:
    """Save a pipeline of a table of every type."""
    frame = frame_of_every_type()
    moments = list(frame.select_dtypes(["datetime", "datetimetz"]))
    names = list(frame)
    numbers = names[: names.index("datetime_s")]
    others = names[names.index("bool") :]
    prepare = make_column_transformer(
        # No number is too large to be compared with a threshold.
        (make_pipeline(SimpleImputer(), Binarizer()), numbers),
        (make_pipeline(FunctionTransformer(years), SimpleImputer(), Binarizer(threshold=2000)), moments),
        (OneHotEncoder(handle_unknown="ignore"), others),
    )
    pipeline = make_pipeline(prepare, DecisionTreeClassifier(random_state=0)).fit(frame, _LABELS)
    return save(pipeline, models_dir, name="typed", version="1", X=frame, source="the tests")


def save_texts(models_dir: Path) -> Path:
    """Save a pipeline of texts."""
    texts = ["good", "bad", "very good"]
    pipeline = make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()).fit(texts, _LABELS)
    return save(pipeline, models_dir, name="texts", version="1", X=texts, source="the tests")


def save_model(models_dir: Path, name: str) -> Path:
    """Save a model of this module, or of a recipe."""
    own = _OWN.get(name)
    return own(models_dir) if own is not None else train_once(models_dir, name)


_OWN: Final[dict[str, Callable[[Path], Path]]] = {"typed": save_typed, "texts": save_texts}
NAMES: Final = (*RECIPES, *_OWN)
