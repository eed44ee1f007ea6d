"""Verifies a model directory before its pipeline is unpickled."""

from importlib.metadata import version
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import joblib

from shared.card import PIPELINE_FILE, ModelCard, digest, read_card
from shared.errors import ArtifactAltered, ArtifactIncompatible, ArtifactMissing
from worker.pool.libraries import import_for

LIBRARY: Final = "scikit-learn"


def verify(model_dir: Path) -> ModelCard:
    """Check a model directory without unpickling anything.

    Raises:
        ArtifactMissing: the card or the pipeline is not there.
        ArtifactAltered: the pipeline's digest is not the card's.
        ArtifactIncompatible: it was made with another minor version of scikit-learn.
    """
    with _open(model_dir) as file:
        return _check(model_dir, file)


def load(model_dir: Path) -> tuple[ModelCard, Any]:
    """Check a model directory and unpickle its pipeline from the same open file.

    Raises:
        ArtifactError: as `verify`.
    """
    with _open(model_dir) as file:
        card = _check(model_dir, file)
        file.seek(0)
        import_for(card.input.library)
        return card, joblib.load(file)


def _open(model_dir: Path) -> BufferedReader:
    path = model_dir / PIPELINE_FILE
    try:
        return path.open("rb")
    except OSError as error:
        raise ArtifactMissing(f"{path} cannot be read ({error.strerror})") from error


def _check(model_dir: Path, file: BufferedReader) -> ModelCard:
    card = read_card(model_dir)
    made_with, installed = card.versions.get(LIBRARY, "unknown"), version(LIBRARY)
    if made_with.split(".")[:2] != installed.split(".")[:2]:
        raise ArtifactIncompatible(
            f"{model_dir} was made with {LIBRARY} {made_with}, but {installed} is installed",
            f"Train it again with {LIBRARY} {installed}, or install {LIBRARY}=={made_with}.",
        )
    found = digest(file)
    if found != card.digest:
        raise ArtifactAltered(f"{model_dir / PIPELINE_FILE} has the digest {found}, but its card says {card.digest}")
    return card
