"""The files of a model directory beside its artifact and card: own code and requirements, with their digests."""

import os
from pathlib import Path
from typing import Final

from shared.card import REQUIREMENTS_FILE, ModelCard, compute_digest
from shared.errors import ArtifactAltered, ArtifactMissing

CODE_DIR: Final = "code"
"""The folder of a model's own modules and packages."""
_RESTORE: Final = "restore the model directory, or save the pipeline again"


def compute_file_digests(model_dir: Path) -> dict[str, str]:
    """Return the digests of own code and requirements, by path in the model directory."""
    return {
        name: compute_file_digest(model_dir / name)
        for name in sorted(_list_files(model_dir))
        if (model_dir / name).is_file()
    }


def compute_file_digest(path: Path) -> str:
    """Return the digest of a file as the card states it."""
    with path.open("rb") as file:
        return compute_digest(file)


def check_files(model_dir: Path, card: ModelCard) -> None:
    """Compare own code and requirements with the card.

    Raises:
        ArtifactMissing: a file of the card is not there.
        ArtifactAltered: a file has another digest, or there is code that the card does not name.
    """
    for name, wanted in card.files.items():
        try:
            found = compute_file_digest(model_dir / name)
        except OSError as error:
            raise ArtifactMissing(
                f"{name} cannot be read ({error.strerror})", f"The file {name} is missing: {_RESTORE}."
            ) from error
        if found != wanted:
            raise ArtifactAltered(
                f"{name} has the digest {found}, but the card says {wanted}",
                f"The file {name} was replaced or damaged: {_RESTORE}.",
            )
    if additional := sorted(_list_files(model_dir) - card.files.keys() - {REQUIREMENTS_FILE}):
        raise ArtifactAltered(
            f"{additional[0]} is not in the card",
            f"The card does not name the file {additional[0]}: remove it, or save the pipeline again with it.",
        )


def _list_files(model_dir: Path) -> set[str]:
    """Return the paths of all files of the code and of the requirements; bytecode caches are never read."""
    found = {REQUIREMENTS_FILE}
    for folder, folders, files in os.walk(model_dir / CODE_DIR):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if name not in {*links, "__pycache__"}]
        found.update(Path(folder, name).relative_to(model_dir).as_posix() for name in (*files, *links))
    return found
