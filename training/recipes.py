"""The recipes that `python -m training` knows: data set, pipeline, name and version."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier


@dataclass(frozen=True, slots=True)
class Recipe:
    """The data set, the unfitted pipeline, and the name and version of the model."""

    name: str
    version: str
    source: str
    load: Callable[..., Any]
    """Returns a scikit-learn `Bunch` with `data`, `target` and `feature_names`."""
    pipeline: Callable[[], Pipeline]


def _iris() -> Pipeline:
    return Pipeline([("scale", MinMaxScaler()), ("classify", DecisionTreeClassifier(random_state=42))])


def _breast_cancer() -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression())])


RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe("iris", "1", "scikit-learn's iris: Fisher (1936)", load_iris, _iris),
        Recipe(
            "breast-cancer",
            "1",
            "scikit-learn's breast cancer: Wolberg, Mangasarian and Street (1995)",
            load_breast_cancer,
            _breast_cancer,
        ),
    )
}
