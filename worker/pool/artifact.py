"""Verifies a model directory before its own code is imported and its pipeline is unpickled."""

from collections.abc import Collection
from io import BufferedReader
from pathlib import Path
from typing import Any

import joblib

from shared.card import SKOPS_FILE, ModelCard, compute_digest, read_card
from shared.distributions import describe_missing_module, find_differing_distributions, format_pip_requirements
from shared.errors import ArtifactAltered, ArtifactIncompatible, ArtifactMissing, ArtifactUnloadable, ArtifactUntrusted
from shared.model_files import check_file_digests
from shared.own_code import find_name_conflict, make_importable, top_level_names
from worker.pool.libraries import import_libraries


def verify(model_dir: Path) -> ModelCard:
    """Check a model directory without unpickling anything.

    Raises:
        ArtifactMissing: the card, the pipeline or another file of the card is missing.
        ArtifactAltered: the digest of a file is not that in the card, or the card does not list a file of the code.
        ArtifactIncompatible: a required distribution is missing or has an incompatible version, or a module of the own
            code has the name of another module.
    """
    card = read_card(model_dir)
    with _open_artifact(model_dir, card) as file:
        _check_files(model_dir, card, file)
    return card


def load(model_dir: Path, trusted_types: Collection[str] = ()) -> tuple[ModelCard, Any]:
    """Check a model directory and load its pipeline from the same open file.

    The model's own code stays importable in this process.

    Args:
        model_dir: the folder with the artifact and its card.
        trusted_types: full names of types that an artifact of skops may contain besides those that skops trusts.

    Raises:
        ArtifactError: as for `verify`; or a module that the pipeline needs is missing, or it contains untrusted types.
    """
    card = read_card(model_dir)
    with _open_artifact(model_dir, card) as file:
        _check_files(model_dir, card, file)
        file.seek(0)
        import_libraries(card.input.library)
        make_importable(model_dir, card.files)
        try:
            return card, _load_skops(file, trusted_types) if card.artifact == SKOPS_FILE else joblib.load(file)
        except ModuleNotFoundError as error:
            raise ArtifactUnloadable(*describe_missing_module("the pipeline", error.name)) from error


def _load_skops(file: BufferedReader, trusted_types: Collection[str]) -> Any:
    from skops import io  # imported here: most artifacts are pickles

    content = file.read()
    untrusted = [name for name in io.get_untrusted_types(data=content) if name not in trusted_types]
    if untrusted:
        raise ArtifactUntrusted(
            f"the pipeline contains types that are not trusted: {', '.join(untrusted)}",
            "If you trust them, add them to the worker's setting: "
            f"SEPAL_TRUSTED_TYPES={','.join([*trusted_types, *untrusted])}.",
        )
    return io.loads(content, trusted=list(trusted_types))


def _open_artifact(model_dir: Path, card: ModelCard) -> BufferedReader:
    path = model_dir / card.artifact
    try:
        return path.open("rb")
    except OSError as error:
        raise ArtifactMissing(f"{path.name} cannot be read ({error.strerror})") from error


def _check_files(model_dir: Path, card: ModelCard, file: BufferedReader) -> None:
    differing = find_differing_distributions(card)
    if differing:
        found = "; ".join(f"{each.name} {each.made_with}, but {each.installed} is installed" for each in differing)
        raise ArtifactIncompatible(
            f"the model was made with {found}",
            f"Save it again with what is installed, or install {format_pip_requirements(differing)}.",
        )
    found = compute_digest(file)
    if found != card.digest:
        raise ArtifactAltered(f"{card.artifact} has the digest {found}, but its card has {card.digest}")
    check_file_digests(model_dir, card)
    if conflict := find_name_conflict(top_level_names(card.files)):
        raise ArtifactIncompatible(
            f"the code of the model cannot be imported: {conflict}",
            "Rename that module, and save the pipeline again.",
        )
