"""Fitted pipelines of every kind, with rows: all families of scikit-learn, and pipelines over tables and texts."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from tests import pipelines

N_ROWS = 500
N_FITTED = 150
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
NAMES = ["length", "width", "height", "weight"]


@dataclass(frozen=True)
class Case:
    """A fitted pipeline and `N_ROWS` rows that it takes."""

    pipeline: Any
    X: Any


EXCLUDED = {
    "IsotonicRegression": "takes one column as a 1-D array",
    "MultiTaskElasticNet": "covered by MultiTaskElasticNetCV",
    "MultiTaskLasso": "covered by MultiTaskLassoCV",
    "PassiveAggressiveClassifier": "deprecated: SGDClassifier has taken its place",
    "PassiveAggressiveRegressor": "deprecated: SGDRegressor has taken its place",
}
"""Families that are not served or not tested, and why."""


def _models() -> dict[str, Any]:
    """The arguments of families that need some, by name."""
    log = LogisticRegression()
    few = {"n_estimators": 5, "random_state": 0}
    return {
        "AdaBoostClassifier": few,
        "AdaBoostRegressor": few,
        "BaggingClassifier": few,
        "BaggingRegressor": few,
        "ClassifierChain": {"estimator": log},
        "ExtraTreesClassifier": few,
        "ExtraTreesRegressor": few,
        "FixedThresholdClassifier": {"estimator": log},
        "CalibratedClassifierCV": {"cv": 2},
        "GradientBoostingClassifier": few,
        "GradientBoostingRegressor": few,
        "HistGradientBoostingClassifier": {"max_iter": 5},
        "HistGradientBoostingRegressor": {"max_iter": 5},
        "LogisticRegressionCV": {"Cs": 2, "cv": 2},
        "MLPClassifier": {"random_state": 0},
        "MLPRegressor": {"random_state": 0},
        "MultiOutputClassifier": {"estimator": log},
        "MultiOutputRegressor": {"estimator": Ridge()},
        "OneVsOneClassifier": {"estimator": log},
        "OneVsRestClassifier": {"estimator": log},
        "OutputCodeClassifier": {"estimator": log, "random_state": 0},
        "RadiusNeighborsClassifier": {"radius": 10.0},
        "RadiusNeighborsRegressor": {"radius": 10.0},
        "RandomForestClassifier": few,
        "RandomForestRegressor": few,
        "RegressorChain": {"estimator": Ridge()},
        "SelfTrainingClassifier": {"estimator": log},
        "StackingClassifier": {"estimators": [("log", log), ("tree", TREE)], "cv": 2},
        "StackingRegressor": {"estimators": [("ridge", Ridge()), ("tree", DecisionTreeRegressor())], "cv": 2},
        "TransformedTargetRegressor": {"regressor": Ridge()},
        "TunedThresholdClassifierCV": {"estimator": log, "cv": 2},
        "VotingClassifier": {"estimators": [("log", log), ("tree", TREE)], "voting": "soft"},
        "VotingRegressor": {"estimators": [("ridge", Ridge()), ("tree", DecisionTreeRegressor())]},
    }


BINARY = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}
SEVERAL_LABELS = {"ClassifierChain", "MultiOutputClassifier"}
SEVERAL_OUTPUTS = {
    "CCA", "MultiOutputRegressor", "MultiTaskElasticNetCV", "MultiTaskLassoCV", "PLSCanonical", "RegressorChain",
}  # fmt: skip


def numbers() -> Any:
    """Rows of four numbers of different sizes, all positive."""
    generator = np.random.default_rng(42)
    return generator.random((N_ROWS, 4)) * [1.0, 10.0, 0.1, 100.0] + 0.01


def family(name: str, *, as_frame: bool) -> Case:
    """Fit a family of classifiers or regressors of scikit-learn."""
    found: Any = dict(all_estimators(type_filter=["classifier", "regressor"]))[name]
    X = numbers()
    if name == "CategoricalNB":
        X = np.floor(X / X.max(axis=0) * 3.99)
    scores = X @ [1.0, 0.1, 10.0, 0.01]
    if hasattr(found, "classes_") or name in dict(all_estimators(type_filter="classifier")):
        edges = [0.5] if name in BINARY else [1 / 3, 2 / 3]
        y = np.array(["low", "middle", "high"])[np.digitize(scores, np.quantile(scores, edges))]
        if name in SEVERAL_LABELS:
            y = np.column_stack([scores > 1.5, scores > 2]).astype(int)
        if name == "SelfTrainingClassifier":
            y = np.unique(y, return_inverse=True)[1]
    else:
        y = np.column_stack([scores, -(scores**2)]) if name in SEVERAL_OUTPUTS else scores
    rows: Any = pd.DataFrame(X, columns=NAMES) if as_frame else X
    with warnings.catch_warnings(action="ignore"):  # a model that has not converged serves as well
        return Case(found(**_models().get(name, {})).fit(rows[:N_FITTED], y[:N_FITTED]), rows)


FAMILIES = [
    name for name, _ in all_estimators(type_filter=["classifier", "regressor"]) if name not in EXCLUDED
]  # fmt: skip


def frame() -> pd.DataFrame:
    """A data frame with columns of every type, and missing values in all of them but two."""
    generator = np.random.default_rng(7)

    def choose(values: list[Any], dtype: Any) -> pd.Series:
        return pd.Series([values[index] for index in generator.integers(len(values), size=N_ROWS)], dtype=dtype)

    number = pd.DataFrame(numbers(), columns=NAMES)
    days = pd.Series(np.datetime64("2024-01-01", "us") + generator.integers(0, 10**14, N_ROWS))
    return number.assign(
        width=number["width"].where(number["width"] > 2),
        height=number["height"].astype("float32").where(number["height"] > 0.03),
        count=generator.integers(0, 1000, N_ROWS),
        small=generator.integers(0, 100, N_ROWS).astype("int8"),
        masked=choose([1, 2, 3, pd.NA], "Int64"),
        flag=choose([True, False], "bool"),
        maybe=choose([True, False, pd.NA], "boolean"),
        island=choose(["Biscoe", "Dream", "Torgersen", None], "str"),
        color=choose(["red", "green", None], object),
        shade=choose(["dark", "light", np.nan], object),
        size=choose(["S", "M", "L", None], pd.CategoricalDtype(["S", "M", "L"], ordered=True)),
        code=choose([1, 2, 3], "category"),
        day=days.where(days > np.datetime64("2024-02-01")),
        zoned=days.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
    )


def polars_frame() -> pl.DataFrame:
    """A polars data frame with numbers, texts, categories, dates and missing values."""
    X = frame()
    plain = X[["length", "weight", "count", "flag"]].to_dict(orient="series")
    return pl.DataFrame(
        {
            **{name: column.to_numpy() for name, column in plain.items()},
            "width": pl.Series(X["width"].to_list()).fill_nan(None),
            "height": X["height"].to_numpy(),
            "island": [None if value != value else value for value in X["island"]],
            "size": pl.Series(
                [None if value != value else value for value in X["size"]], dtype=pl.Enum(["S", "M", "L"])
            ),
            "day": X["day"].to_numpy(),
        }
    )


def texts() -> list[str]:
    """Short texts, some of them empty or not in Latin letters."""
    generator = np.random.default_rng(3)
    words = np.array(["good", "bad", "fine", "awful", "überragend", "東京", "queue", "model", "it's", "A"])
    return [" ".join(generator.choice(words, size=generator.integers(0, 9))) for _ in range(N_ROWS)]


def labels(n_classes: int = 3) -> Any:
    return np.array(["low", "middle", "high"])[np.random.default_rng(5).integers(n_classes, size=N_ROWS)]


def targets(*shape: int) -> Any:
    return np.random.default_rng(6).normal(size=(N_ROWS, *shape))


def _fit(pipeline: Any, X: Any, y: Any) -> Case:
    with warnings.catch_warnings(action="ignore"):
        return Case(pipeline.fit(X[:N_FITTED], y[:N_FITTED]), X)


def _prepare_table() -> ColumnTransformer:
    """Prepare columns of all types by name, each with its own missing values."""
    encode = make_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=np.nan), OneHotEncoder(handle_unknown="ignore")
    )
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["length", "width", "height", "weight", "count", "small"]),
        (make_pipeline(FunctionTransformer(pipelines.as_floats), SimpleImputer()), ["masked", "maybe", "flag"]),
        (encode, ["island", "shade", "size", "code"]),
        (OneHotEncoder(handle_unknown="ignore"), ["color", "island"]),
        (make_pipeline(FunctionTransformer(pipelines.parts_of_dates), SimpleImputer()), ["day", "zoned"]),
    )


def _prepare_polars() -> ColumnTransformer:
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["length", "width", "height", "weight", "count"]),
        (OneHotEncoder(handle_unknown="ignore"), ["island", "size"]),
    )


def _select_numbers(model: Any) -> Any:
    numeric = make_column_selector(dtype_include="number")
    return make_pipeline(make_column_transformer((SimpleImputer(), numeric)), model)


def _search(model: Any, **grid: list[Any]) -> GridSearchCV:
    return GridSearchCV(model, grid, cv=2)


def _float32() -> Any:
    return numbers().astype(np.float32)


def _with_missing() -> Any:
    X = numbers()
    X[::7, 1] = np.nan
    return X


PIPELINES: dict[str, Callable[[], Case]] = {
    "a table with every type": lambda: _fit(
        make_pipeline(_prepare_table(), LogisticRegression(max_iter=1000)), frame(), labels()
    ),
    "a table, two classes": lambda: _fit(make_pipeline(_prepare_table(), LogisticRegression()), frame(), labels(2)),
    "a table and a forest": lambda: _fit(
        make_pipeline(_prepare_table(), RandomForestClassifier(5, random_state=0)), frame(), labels()
    ),
    "a table and a regressor": lambda: _fit(make_pipeline(_prepare_table(), Ridge()), frame(), targets()),
    "a table of pandas inside": lambda: _fit(
        make_pipeline(_select_numbers(StandardScaler()), LogisticRegression()).set_output(transform="pandas"),
        frame(),
        labels(),
    ),
    "a table and a search": lambda: _fit(
        _search(make_pipeline(_prepare_table(), LogisticRegression()), logisticregression__C=[0.1, 1.0]),
        frame(),
        labels(),
    ),
    "a table without columns by name": lambda: _fit(
        make_pipeline(StandardScaler(), LogisticRegression()), pd.DataFrame(numbers(), columns=NAMES), labels(2)
    ),
    "a table in polars": lambda: _fit(
        make_pipeline(_prepare_polars(), LogisticRegression(max_iter=1000)), polars_frame(), labels()
    ),
    "a table in polars, polars inside": lambda: _fit(
        make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).set_output(transform="polars"),
        polars_frame()[["length", "weight", "count"]],
        labels(),
    ),
    "a table in polars and a regressor": lambda: _fit(
        make_pipeline(_prepare_polars(), LinearRegression()), polars_frame(), targets()
    ),
    "ordinal categories": lambda: _fit(
        make_pipeline(
            make_column_transformer((OrdinalEncoder(encoded_missing_value=-1), ["size", "color", "shade"])), TREE
        ),
        frame(),
        labels(),
    ),
    "texts": lambda: _fit(make_pipeline(TfidfVectorizer(), LogisticRegression()), texts(), labels()),
    "texts, naive": lambda: _fit(make_pipeline(CountVectorizer(), MultinomialNB()), texts(), labels()),
    "texts and a union": lambda: _fit(
        make_pipeline(
            make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char", ngram_range=(1, 2))),
            SGDClassifier(loss="log_loss", random_state=0),
        ),
        texts(),
        labels(),
    ),
    "a text column": lambda: _fit(
        make_pipeline(make_column_transformer((TfidfVectorizer(), "text"), (StandardScaler(), ["x"])), Ridge()),
        pd.DataFrame({"text": texts(), "x": numbers()[:, 0]}),
        targets(),
    ),
    "missing numbers": lambda: _fit(
        make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()), _with_missing(), labels()
    ),
    "float32": lambda: _fit(make_pipeline(StandardScaler(), MLPClassifier(max_iter=20)), _float32(), labels()),
    "float32 out": lambda: _fit(make_pipeline(PCA(2), LinearRegression()), _float32(), targets().astype(np.float32)),
    "integers": lambda: _fit(TREE, (numbers() * 100).astype(np.int32), labels()),
    "booleans": lambda: _fit(KNeighborsClassifier(), numbers() > [0.5, 5.0, 0.05, 50.0], labels()),
    "votes": lambda: _fit(
        VotingClassifier([("log", LogisticRegression()), ("tree", TREE)], n_jobs=2), numbers(), labels()
    ),
    "a search": lambda: _fit(_search(TREE, max_depth=[2, 3]), numbers(), labels()),
    "a pipeline in a pipeline": lambda: _fit(
        make_pipeline(StandardScaler(), make_pipeline(PCA(3), LogisticRegression())), numbers(), labels()
    ),
    "a forest with jobs": lambda: _fit(RandomForestClassifier(20, random_state=0, n_jobs=2), numbers(), labels()),
    "several labels": lambda: _fit(TREE, numbers(), np.column_stack([labels(), labels(2)[::-1]])),
    "several outputs": lambda: _fit(RandomForestRegressor(5, random_state=0), numbers(), targets(3)),
    "datetimes as labels": lambda: _fit(
        TREE, numbers(), np.array(["2026-01-31", "2026-02-01"], dtype="datetime64[s]")[np.arange(N_ROWS) % 2]
    ),
    "booleans as labels": lambda: _fit(LogisticRegression(), numbers(), numbers()[:, 0] > 0.5),
    "integers as labels": lambda: _fit(LogisticRegression(), numbers(), np.arange(N_ROWS) % 4 - 1),
    "a transformed target": lambda: _fit(
        TransformedTargetRegressor(Ridge(), func=np.exp, inverse_func=np.log), numbers(), targets()
    ),
}
