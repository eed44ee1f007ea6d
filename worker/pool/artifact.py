"""Verifies a model directory before its pipeline is unpickled."""

from io import BufferedReader
from pathlib import Path
from typing import Any

import joblib

from shared.card import PIPELINE_FILE, ModelCard, digest, read_card
from shared.distributions import find_differing, pins
from shared.errors import ArtifactAltered, ArtifactIncompatible, ArtifactMissing
from worker.pool.libraries import import_for


def verify(model_dir: Path) -> ModelCard:
    """Check a model directory without unpickling anything.

    Raises:
        ArtifactMissing: the card or the pipeline is not there.
        ArtifactAltered: the pipeline's digest is not the card's.
        ArtifactIncompatible: a distribution that it needs is missing, or has another version.
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
    differing = find_differing(card)
    if differing:
        found = "; ".join(f"{each.name} {each.made_with}, but {each.installed} is installed" for each in differing)
        raise ArtifactIncompatible(
            f"{model_dir} was made with {found}",
            f"Save it again with what is installed, or install {pins(differing)}.",
        )
    found = digest(file)
    if found != card.digest:
        raise ArtifactAltered(f"{model_dir / PIPELINE_FILE} has the digest {found}, but its card says {card.digest}")
    return card
