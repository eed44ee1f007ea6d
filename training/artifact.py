"""Writes a fitted pipeline as a model directory: the artifact and its model card."""

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
    """Write `models_dir/name/version/` atomically, by one rename.

    Args:
        pipeline: a fitted pipeline whose columns are all numeric.
        models_dir: the folder of all models.
        name: the model's name, in lower case, as prediction responses show it.
        version: the model's version; a version that exists is never overwritten.
        features: the names of the columns, in order.
        example: float64, shape (n, len(features)); valid rows, every value finite.
        data: the source and the number of rows of the training data.
        metrics: cross-validated scores, by name.

    Returns:
        The model directory.

    Raises:
        ArtifactExists: this name and version exist, with another pipeline or card.
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
