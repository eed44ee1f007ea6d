"""Derives labels and log-probabilities from one evaluation of a model, for classes whose source code allows it.

`predict` and `predict_log_proba` usually compute the same scores and differ only in the last step. Labels are derived
from the probabilities in one of two ways, both equal to the two methods to the bit:

- `evaluate_by_argmax`: `predict` is the argmax of `predict_proba`, ties included.
- `evaluate_by_argmax_unless_close`: `predict` compares scores, and probabilities increase with them (softmax, expit).
  Rounding can make probabilities equal whose scores differ, so `predict` is called too if the best two classes of a row
  are close.

Not in `_EVALUATIONS`:

- SVC, NuSVC: labels are votes, and probabilities are calibrated separately.
- GaussianProcessClassifier: probabilities approximate an integral, and 0.5 is not exactly where the score is 0.
- NearestCentroid: labels and probabilities are computed from distances in two ways.
- OneVsRestClassifier: labels compare scores of models of any class.
- FixedThresholdClassifier, TunedThresholdClassifierCV: labels depend on a threshold.
- RFE, SelfTrainingClassifier, FrozenEstimator: they delegate to a model of any class.
- DummyClassifier: labels may be drawn at random.
- Models with several outputs, and subclasses of the classes in the table: a subclass may override a method.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.names import Output
from worker.pool.outputs import OutputValues, compute_output
from worker.pool.pipeline_steps import has_exact_class

Evaluation = Callable[[Any, Any], tuple[OutputValues, OutputValues]]
"""Takes a model and its rows; returns labels, shape (n_rows,), and log-probabilities, shape (n_rows, n_classes)."""


def find_evaluation(model: Any) -> Evaluation:
    """Return the function that evaluates a model once, or `evaluate_by_own_methods` if its class has none."""
    classes = getattr(model, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:  # several outputs: a list of arrays
        return evaluate_by_own_methods
    return _look_up_evaluation(model) or evaluate_by_own_methods


def evaluate_by_own_methods(model: Any, rows: Any) -> tuple[OutputValues, OutputValues]:
    """Call the model's own methods, one for each output."""
    return compute_output(model, Output.PREDICTION, rows), compute_output(model, Output.LOG_PROBA, rows)


def evaluate_by_argmax(model: Any, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Evaluate a model whose `predict_log_proba`, if any, is the logarithm of `predict_proba`."""
    proba = np.asarray(model.predict_proba(rows))
    return model.classes_.take(proba.argmax(axis=1)), np.log(proba)


def _evaluate_forest(model: Any, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Add the trees' probabilities as `predict_proba` does with one job, without its overhead of 0.1 ms per tree."""
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and the forest refuses it below
        values = np.ascontiguousarray(rows, dtype=np.float32) if type(rows) is np.ndarray else None
    # Rows that the forest refuses or treats specially are passed to its own method.
    if values is None or values.shape[1:] != (model.n_features_in_,) or not np.isfinite(values).all():
        return evaluate_by_argmax(model, rows)
    proba = np.zeros((len(values), model.n_classes_))
    for tree in model.estimators_:
        proba += tree.tree_.predict(values)[:, : model.n_classes_]
    proba /= len(model.estimators_)
    return model.classes_.take(proba.argmax(axis=1)), np.log(proba)


def evaluate_by_argmax_unless_close(model: Any, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Evaluate a model whose probabilities increase with the scores that `predict` compares.

    Two classes are close if half of the digits of their probabilities are equal; rounding errors are far smaller.
    """
    log_proba = np.asarray(compute_output(model, Output.LOG_PROBA, rows))
    margin = np.sqrt(np.finfo(log_proba.dtype).eps)
    close = log_proba >= log_proba.max(axis=1, keepdims=True) - margin
    if log_proba.shape[1] < 2 or not (close.sum(axis=1) == 1).all():  # in a row with NaN, no class is close
        return np.asarray(model.predict(rows)), log_proba
    return model.classes_.take(log_proba.argmax(axis=1)), log_proba


def _evaluate_bagging(model: Any, rows: Any) -> tuple[OutputValues, OutputValues]:
    if not hasattr(model.estimator_, "predict_log_proba"):
        return evaluate_by_argmax(model, rows)
    # The mean of probabilities is computed from logarithms, so it agrees with `predict_proba` but for rounding.
    evaluate = evaluate_by_argmax_unless_close if _look_up_evaluation(model.estimator_) else evaluate_by_own_methods
    return evaluate(model, rows)


def _evaluate_k_neighbors(model: Any, rows: Any) -> tuple[OutputValues, OutputValues]:
    if model.weights == "uniform":  # the mode and the argmax of counts both choose the first of equal classes
        return evaluate_by_argmax(model, rows)
    # The same weights are added in another order. Weights of a user's function may be negative.
    evaluate = evaluate_by_argmax_unless_close if model.weights == "distance" else evaluate_by_own_methods
    return evaluate(model, rows)


def _evaluate_mlp(model: Any, rows: Any) -> tuple[OutputValues, OutputValues]:
    has_one_label = model.n_outputs_ == 1 or model.out_activation_ == "softmax"
    return (evaluate_by_argmax_unless_close if has_one_label else evaluate_by_own_methods)(model, rows)


def _evaluate_radius_neighbors(model: Any, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    labels, log_proba = evaluate_by_argmax(model, rows)
    if np.isneginf(log_proba).all(axis=1).any():  # rows without neighbours get a label that is no class
        labels = np.asarray(model.predict(rows))
    return labels, log_proba


def _evaluate_stacking(model: Any, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    stacked, final = model.transform(rows), model.final_estimator_  # its labels are indices of `classes_`
    return model.classes_.take(final.predict(stacked)), np.log(np.asarray(final.predict_proba(stacked)))


def _evaluate_voting(model: Any, rows: Any) -> tuple[OutputValues, OutputValues]:
    return (evaluate_by_argmax if model.voting == "soft" else evaluate_by_own_methods)(model, rows)


_EVALUATIONS: Final[dict[str, Evaluation]] = {
    # The code of `predict` is the argmax of `predict_proba`.
    "sklearn.tree.DecisionTreeClassifier": evaluate_by_argmax,
    "sklearn.tree.ExtraTreeClassifier": evaluate_by_argmax,
    "sklearn.calibration.CalibratedClassifierCV": evaluate_by_argmax,
    "sklearn.semi_supervised.LabelPropagation": evaluate_by_argmax,
    "sklearn.semi_supervised.LabelSpreading": evaluate_by_argmax,
    # The same, with conditions.
    "sklearn.ensemble.RandomForestClassifier": _evaluate_forest,
    "sklearn.ensemble.ExtraTreesClassifier": _evaluate_forest,
    "sklearn.ensemble.BaggingClassifier": _evaluate_bagging,
    "sklearn.ensemble.VotingClassifier": _evaluate_voting,
    "sklearn.neighbors.KNeighborsClassifier": _evaluate_k_neighbors,
    "sklearn.neighbors.RadiusNeighborsClassifier": _evaluate_radius_neighbors,
    # Both outputs are the final estimator's for the same `transform`.
    "sklearn.ensemble.StackingClassifier": _evaluate_stacking,
    # Sign or argmax of the raw score; expit or softmax of it.
    "sklearn.ensemble.AdaBoostClassifier": evaluate_by_argmax_unless_close,
    "sklearn.ensemble.GradientBoostingClassifier": evaluate_by_argmax_unless_close,
    "sklearn.ensemble.HistGradientBoostingClassifier": evaluate_by_argmax_unless_close,
    "sklearn.linear_model.LogisticRegression": evaluate_by_argmax_unless_close,
    "sklearn.linear_model.LogisticRegressionCV": evaluate_by_argmax_unless_close,
    # Or a clipped score, over a sum for all classes.
    "sklearn.linear_model.SGDClassifier": evaluate_by_argmax_unless_close,
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": evaluate_by_argmax_unless_close,
    "sklearn.neural_network.MLPClassifier": _evaluate_mlp,
    # Argmax of the joint log-likelihoods; these minus the same number for every class.
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": evaluate_by_argmax_unless_close,
    "sklearn.naive_bayes.BernoulliNB": evaluate_by_argmax_unless_close,
    "sklearn.naive_bayes.CategoricalNB": evaluate_by_argmax_unless_close,
    "sklearn.naive_bayes.ComplementNB": evaluate_by_argmax_unless_close,
    "sklearn.naive_bayes.GaussianNB": evaluate_by_argmax_unless_close,
    "sklearn.naive_bayes.MultinomialNB": evaluate_by_argmax_unless_close,
}
"""The evaluation of each class, by its public path; subclasses have none."""


def _look_up_evaluation(model: Any) -> Evaluation | None:
    return next((evaluate for path, evaluate in _EVALUATIONS.items() if has_exact_class(model, path)), None)
