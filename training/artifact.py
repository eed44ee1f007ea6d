"""Writes a fitted pipeline as a model directory: the artifact and, beside it, its card."""

import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from shared.card import (
    CARD_FILE,
    PIPELINE_FILE,
    Data,
    Feature,
    Metric,
    ModelCard,
    digest,
    read_card,
)
from shared.errors import ArtifactExists, ExampleIncomplete

LIBRARIES = ("numpy", "scikit-learn", "joblib")


def save(
    pipeline: Pipeline,
    models_dir: Path,
    *,
    name: str,
    version: str,
    features: list[str],
    example: NDArray[np.float64],
    data: Data,
    metrics: dict[str, Metric] | None = None,
) -> Path:
    """Write `models_dir/name/version/` in one rename: it is there whole, or not at all.

    Args:
        pipeline: fitted, over numeric columns.
        models_dir: the folder that holds all models.
        name: lower case, as it appears in answers.
        version: one version is one pipeline; it is never overwritten.
        features: the columns' names, in order.
        example: float64, shape (n, len(features)); a few rows that work, every value finite.
        data: what it was fitted on.
        metrics: cross-validated scores.

    Returns:
        The model directory.

    Raises:
        ArtifactExists: another pipeline has this name and version.
        ExampleIncomplete: a value of the example is NaN or infinite.
    """
    _check_example(example, features)
    target = models_dir / name / version
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=target.parent))
    try:
        joblib.dump(pipeline, staged / PIPELINE_FILE)
        with (staged / PIPELINE_FILE).open("rb") as file:
            artifact_digest = digest(file)
        card = ModelCard(
            name=name,
            version=version,
            digest=artifact_digest,
            features=tuple(Feature(name=feature) for feature in features),
            classes=_classes(pipeline),
            outputs=("prediction", "log_proba") if _has_probabilities(pipeline) else ("prediction",),
            versions=_versions(),
            data=data,
            metrics=metrics or {},
            example=tuple(tuple(row) for row in example.tolist()),
        )
        (staged / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n")
        staged.chmod(0o755)
        _publish(staged, target, card)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def _check_example(example: NDArray[np.float64], features: list[str]) -> None:
    unusable = np.argwhere(~np.isfinite(example))
    if len(unusable):
        row, column = unusable[0]
        raise ExampleIncomplete(
            f'row {row + 1} of the example holds {example[row, column]} in the column "{features[column]}", and Sepal '
            "does not serve missing or infinite values yet"
        )


def _publish(staged: Path, target: Path, card: ModelCard) -> None:
    try:
        staged.rename(target)
    except OSError:
        if not target.exists():
            raise
        if read_card(target) != card:
            raise ArtifactExists(f"{target} holds another pipeline or card") from None


def _has_probabilities(pipeline: Pipeline) -> bool:
    return hasattr(pipeline, "predict_log_proba") or hasattr(pipeline, "predict_proba")


def _classes(pipeline: Pipeline) -> tuple[bool | int | float | str, ...] | None:
    classes = getattr(pipeline, "classes_", None)
    return None if classes is None else tuple(classes.tolist())


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{library: version(library) for library in LIBRARIES}}
