"""Verifies a model directory before its own code is imported and its pipeline is unpickled."""

from io import BufferedReader
from pathlib import Path
from typing import Any

import joblib

from shared.card import PIPELINE_FILE, ModelCard, digest, read_card
from shared.distributions import find_differing, missing_module, pins
from shared.errors import ArtifactAltered, ArtifactIncompatible, ArtifactMissing, ArtifactUnloadable
from shared.model_files import check
from shared.own_code import find_conflict, make_importable, top_level
from worker.pool.libraries import import_for


def verify(model_dir: Path) -> ModelCard:
    """Check a model directory without unpickling anything.

    Raises:
        ArtifactMissing: the card, the pipeline or another file of the card is not there.
        ArtifactAltered: a file has another digest than in the card, or the code has a file that the card does not name.
        ArtifactIncompatible: a distribution that it needs is missing, or has another version; or its own code has the
            name of a module that a worker needs.
    """
    with _open(model_dir) as file:
        return _check(model_dir, file)


def load(model_dir: Path) -> tuple[ModelCard, Any]:
    """Check a model directory and unpickle its pipeline from the same open file.

    The model's own code stays importable in this process.

    Raises:
        ArtifactError: as `verify`, or a module that the pipeline needs is not there.
    """
    with _open(model_dir) as file:
        card = _check(model_dir, file)
        file.seek(0)
        import_for(card.input.library)
        make_importable(model_dir, card.files)
        try:
            return card, joblib.load(file)
        except ModuleNotFoundError as error:
            raise ArtifactUnloadable(*missing_module("the pipeline", error.name)) from error


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
    check(model_dir, card)
    if conflict := find_conflict(top_level(card.files)):
        raise ArtifactIncompatible(
            f"the code of {model_dir} cannot be imported: {conflict}",
            "Rename that module, and save the pipeline again.",
        )
    return card
