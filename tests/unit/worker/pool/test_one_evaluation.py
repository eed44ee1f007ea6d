"""One evaluation gives the labels and log-probabilities of the model's own methods, to the bit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from threadpoolctl import threadpool_limits

from worker.pool.evaluation import _comparable_bits
from worker.pool.one_evaluation import _EVALUATIONS, evaluate_by_own_methods, find_evaluation
from worker.pool.pipeline_steps import has_exact_class

Array = NDArray[Any]

TREE = DecisionTreeClassifier(max_depth=2, random_state=1)
MODELS = [
    DecisionTreeClassifier(max_depth=3, random_state=1),
    ExtraTreeClassifier(max_depth=3, random_state=1),
    RandomForestClassifier(6, max_depth=3, random_state=1),
    ExtraTreesClassifier(6, max_depth=3, random_state=1),
    CalibratedClassifierCV(GaussianNB(), cv=2),
    CalibratedClassifierCV(TREE, method="isotonic", cv=2),
    LabelPropagation(gamma=0.5, max_iter=1000),
    LabelSpreading("knn", n_neighbors=4),
    BaggingClassifier(TREE, 4, random_state=1),
    BaggingClassifier(GaussianNB(), 3, max_samples=0.3, random_state=1),
    BaggingClassifier(KNeighborsClassifier(3), 3, random_state=1),
    BaggingClassifier(BaggingClassifier(TREE, 2), 2, random_state=1),
    VotingClassifier([("tree", TREE), ("bayes", GaussianNB())], voting="soft"),
    KNeighborsClassifier(4),
    KNeighborsClassifier(4, algorithm="brute"),
    KNeighborsClassifier(4, algorithm="brute", metric="manhattan"),
    KNeighborsClassifier(6, weights="distance"),
    RadiusNeighborsClassifier(1.5, outlier_label="most_frequent"),
    RadiusNeighborsClassifier(1.5, weights="distance", outlier_label="most_frequent"),
    StackingClassifier([("tree", TREE), ("bayes", GaussianNB())], LogisticRegression(), cv=2),
    StackingClassifier([("tree", TREE)], GaussianNB(), cv=2, passthrough=True),
    AdaBoostClassifier(n_estimators=4, random_state=1),
    GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=1),
    HistGradientBoostingClassifier(max_iter=3, max_depth=2),
    LogisticRegression(),
    LogisticRegressionCV(Cs=1, cv=2, l1_ratios=(0,), use_legacy_attributes=False, scoring="neg_log_loss"),
    SGDClassifier("log_loss", random_state=1),
    SGDClassifier("modified_huber", random_state=1),
    LinearDiscriminantAnalysis(),
    MLPClassifier((4,), max_iter=20, random_state=1),
    QuadraticDiscriminantAnalysis(reg_param=0.1),
    BernoulliNB(binarize=1.5),
    CategoricalNB(min_categories=5),
    ComplementNB(),
    GaussianNB(),
    MultinomialNB(),
]


def name(parameter: Any) -> str:
    return parameter if isinstance(parameter, str) else type(parameter).__name__


CASES = [
    (model, kind)
    for model in MODELS
    for kind in ("separable", "contradictory", "balanced")
    if not (isinstance(model, AdaBoostClassifier) and kind == "balanced")  # it refuses rows that say nothing
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def training_data(kind: str, n_classes: int) -> tuple[Array, Array]:
    """Rows of small integers, so that distances, splits and votes tie."""
    generator = np.random.default_rng(n_classes)
    rows = generator.integers(0, 4, (120, 3)).astype(np.float64)
    if kind == "separable":
        return rows, np.array([7, 3, 5])[(rows.sum(axis=1) * n_classes // 10).astype(int)]
    if kind == "contradictory":  # equal rows have different labels
        return rows.astype(np.float32), np.array(["b", "a", "cc"])[generator.integers(0, n_classes, 120)]
    every = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3)  # each row once with each label
    return np.repeat(every, n_classes, axis=0), np.tile([7, 3, 5][:n_classes], len(every))


def served_rows() -> Array:
    generator = np.random.default_rng(5)
    return np.concatenate([generator.integers(0, 4, (400, 3)), generator.uniform(0, 4, (200, 3)), [[1, 1, 1]]])


def outputs_are_equal(model: Any, rows: Array) -> bool:
    with np.errstate(divide="ignore"):
        expected, found = evaluate_by_own_methods(model, rows), find_evaluation(model)(model, rows)
    return all(_comparable_bits(one) == _comparable_bits(other) for one, other in zip(expected, found, strict=True))


@pytest.mark.filterwarnings("ignore")  # models of so few rows do not converge
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("model", "kind"), CASES, ids=name)
def test_one_evaluation_equals_the_methods_to_the_bit(model: Any, kind: str, n_classes: int) -> None:
    fitted = clone(model).fit(*training_data(kind, n_classes))
    assert find_evaluation(fitted) is not evaluate_by_own_methods
    assert outputs_are_equal(fitted, served_rows())
    assert outputs_are_equal(fitted, served_rows().astype(np.float32))


def test_every_class_of_the_table_is_tested() -> None:
    assert [path for path in _EVALUATIONS if not any(has_exact_class(model, path) for model in MODELS)] == []


@pytest.mark.parametrize("score", [1e-300, 1e-17, 1e-9, -1e-9, 0.0])
def test_scores_that_round_to_equal_probabilities_keep_their_labels(score: float) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.coef_, model.intercept_ = np.array([[score]]), np.array([0.0])
    labels, _ = find_evaluation(model)(model, np.ones((1, 1)))
    assert np.asarray(labels).tolist() == [int(score > 0)]
    assert outputs_are_equal(model, np.array([[1.0], [0.0], [-1.0], [1e9]]))


@pytest.mark.filterwarnings("ignore")  # overflow
def test_row_whose_probabilities_are_nan_keeps_its_label() -> None:
    model = GaussianNB().fit(*training_data("contradictory", 3))
    rows = np.vstack([served_rows(), np.full(3, 1e200)])
    assert np.isnan(model.predict_log_proba(rows)).any()
    assert outputs_are_equal(model, rows)


@pytest.mark.filterwarnings("ignore:Outlier label")
@pytest.mark.parametrize("label", [-1, 7])
def test_row_without_neighbours_gets_the_outlier_label(label: int) -> None:
    model = RadiusNeighborsClassifier(0.1, outlier_label=label).fit(*training_data("separable", 3))
    assert label in model.predict(served_rows())
    assert outputs_are_equal(model, served_rows())


class Reversed(DecisionTreeClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    """A subclass whose labels are not the most probable ones."""

    def predict(self, rows: Array) -> Array:
        labels: Array = super().predict(rows)[::-1]
        return labels


def negative(distances: Array) -> Array:
    return -1 - distances


@pytest.mark.filterwarnings("ignore")  # models of so few rows do not converge
@pytest.mark.parametrize(
    "model",
    [
        Reversed(),
        KNeighborsClassifier(4, weights=negative),
        BaggingClassifier(GaussianProcessClassifier(), 2),
        GaussianProcessClassifier(),
    ],
    ids=name,
)
def test_other_models_are_evaluated_plainly(model: Any) -> None:
    assert outputs_are_equal(model.fit(*training_data("separable", 3)), served_rows())


@pytest.mark.filterwarnings("ignore")  # models of so few rows do not converge
@pytest.mark.parametrize("model", [TREE, MLPClassifier((4,), max_iter=5)], ids=name)
def test_several_outputs_are_those_of_the_methods(model: Any) -> None:
    rows, target = training_data("separable", 2)
    fitted = clone(model).fit(rows, np.column_stack([target == 3, target == 7]))
    assert outputs_are_equal(fitted, served_rows())
