"""The files of a model directory other than its artifact and card: own code and requirements."""

import os
from pathlib import Path
from typing import Final

from shared.card import REQUIREMENTS_FILE, ModelCard, compute_digest
from shared.errors import ArtifactAltered, ArtifactMissing

CODE_DIR: Final = "code"
"""The folder of a model's own modules and packages."""
_RESTORE_REMEDY: Final = "restore the model directory, or save the pipeline again"


def compute_file_digests(model_dir: Path) -> dict[str, str]:
    """Compute the digests of own code and requirements, by path in the model directory."""
    return {
        name: compute_file_digest(model_dir / name)
        for name in sorted(_list_files(model_dir))
        if (model_dir / name).is_file()
    }


def compute_file_digest(path: Path) -> str:
    """Compute the digest of a file in the form that the card has."""
    with path.open("rb") as file:
        return compute_digest(file)


def check_file_digests(model_dir: Path, card: ModelCard) -> None:
    """Check own code and requirements against the digests of the card.

    Raises:
        ArtifactMissing: a file that the card names is missing or unreadable.
        ArtifactAltered: a file has another digest, or the card does not name it.
    """
    for name, wanted in card.files.items():
        try:
            found = compute_file_digest(model_dir / name)
        except OSError as error:
            raise ArtifactMissing(
                f"{name} cannot be read ({error.strerror})", f"The file {name} is missing: {_RESTORE_REMEDY}."
            ) from error
        if found != wanted:
            raise ArtifactAltered(
                f"{name} has the digest {found}, but the card has {wanted}",
                f"The file {name} was replaced or damaged: {_RESTORE_REMEDY}.",
            )
    if additional := sorted(_list_files(model_dir) - card.files.keys() - {REQUIREMENTS_FILE}):
        raise ArtifactAltered(
            f"{additional[0]} is not in the card",
            f"The card does not name the file {additional[0]}: remove it, or save the pipeline again with it.",
        )


def _list_files(model_dir: Path) -> set[str]:
    """Return the paths of the requirements and of all files of own code, except bytecode caches."""
    found = {REQUIREMENTS_FILE}
    for folder, folders, files in os.walk(model_dir / CODE_DIR):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if name not in {*links, "__pycache__"}]
        found.update(Path(folder, name).relative_to(model_dir).as_posix() for name in (*files, *links))
    return found
