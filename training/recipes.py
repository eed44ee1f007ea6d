"""The recipes of `python -m training`: data set, pipeline, name and version."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from shared.errors import CannotServe


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows and labels that a pipeline is fitted on."""

    X: Any
    """A matrix, or a data frame."""
    y: Any
    labels: list[str]
    """The names of the classes, in the sorted order of `y`."""
    columns: list[str] | None = None
    """The names of a matrix's columns."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The data set, the unfitted pipeline, and the name and version of the model."""

    name: str
    version: str
    source: str
    load: Callable[[], TrainingData]
    pipeline: Callable[[], Pipeline]


def _make_sklearn_loader(load: Callable[[], Any]) -> Callable[[], TrainingData]:
    """Return a function that loads a data set of scikit-learn."""

    def load_data() -> TrainingData:
        bunch = load()
        return TrainingData(
            bunch.data,
            bunch.target,
            [str(name) for name in bunch.target_names],
            [str(name) for name in bunch.feature_names],
        )

    return load_data


def _iris_pipeline() -> Pipeline:
    return Pipeline([("scale", MinMaxScaler()), ("classify", DecisionTreeClassifier(random_state=42))])


def _breast_cancer_pipeline() -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression())])


def _forest_pipeline() -> Pipeline:
    return make_pipeline(RandomForestClassifier(300, random_state=42))


def _load_penguins() -> TrainingData:
    try:
        from palmerpenguins import load_penguins
    except ImportError as error:
        raise CannotServe(
            f"a library of the data set is missing ({error})", "Install pandas and palmerpenguins."
        ) from error
    penguins = load_penguins()
    return TrainingData(penguins.drop(columns="species"), penguins["species"], sorted(penguins["species"].unique()))


def _penguins_pipeline() -> Pipeline:
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            ["island", "sex"],
        ),
    )
    return make_pipeline(prepare, LogisticRegression(max_iter=1000))


RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe("iris", "1", "scikit-learn's iris: Fisher (1936)", _make_sklearn_loader(load_iris), _iris_pipeline),
        Recipe("penguins", "1", "palmerpenguins: Horst, Hill and Gorman (2020)", _load_penguins, _penguins_pipeline),
        Recipe(
            "breast-cancer",
            "1",
            "scikit-learn's breast cancer: Wolberg, Mangasarian and Street (1995)",
            _make_sklearn_loader(load_breast_cancer),
            _breast_cancer_pipeline,
        ),
        Recipe(
            "digits-forest",
            "1",
            "scikit-learn's digits: Alpaydin and Kaynak (1998)",
            _make_sklearn_loader(load_digits),
            _forest_pipeline,
        ),
    )
}
