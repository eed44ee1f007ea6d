"""Cross-validates a pipeline and formats the scores for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline

from shared.card import Metric

FOLDS = 10


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores over `FOLDS` stratified folds; each row is scored by a pipeline that was not fitted on it."""

    metrics: dict[str, Metric]
    baseline_accuracy: Metric
    confusion: NDArray[np.int64]
    """Shape (n_classes, n_classes): rows are true classes, columns predicted ones."""


def evaluate(pipeline: Pipeline, rows: Any, target: Any) -> Evaluation:
    """Cross-validate an unfitted classifier.

    Args:
        pipeline: cloned for each fold, and itself left unfitted.
        rows: a matrix or a data frame of n_rows rows.
        target: class labels, shape (n_rows,).
    """
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=42)
    scores = cross_validate(pipeline, rows, target, cv=folds, scoring=("accuracy", "neg_log_loss"))
    baseline = cross_validate(DummyClassifier(strategy="most_frequent"), rows, target, cv=folds)
    return Evaluation(
        metrics={
            "accuracy": _mean_and_std(scores["test_accuracy"]),
            "log_loss": _mean_and_std(-scores["test_neg_log_loss"]),
        },
        baseline_accuracy=_mean_and_std(baseline["test_score"]),
        confusion=confusion_matrix(target, cross_val_predict(pipeline, rows, target, cv=folds)),
    )


def render(evaluation: Evaluation, classes: Sequence[str]) -> str:
    """Format an evaluation as text for a terminal."""
    width = max(map(len, classes))
    lines = [
        f"{FOLDS}-fold cross-validation, mean ± standard deviation over the folds",
        *(f"  {name:9} {metric.mean:.4f} ± {metric.std:.4f}" for name, metric in evaluation.metrics.items()),
        f"  {'baseline':9} {evaluation.baseline_accuracy.mean:.4f} ± {evaluation.baseline_accuracy.std:.4f}"
        "  (accuracy of always predicting the majority class)",
        "confusion matrix: rows are true classes, columns predicted classes",
        *(
            f"  {name:{width}} " + " ".join(f"{count:4d}" for count in counts)
            for name, counts in zip(classes, evaluation.confusion, strict=True)
        ),
    ]
    return "\n".join(lines)


def _mean_and_std(scores: NDArray[np.float64]) -> Metric:
    return Metric(mean=float(scores.mean()), std=float(scores.std()))
