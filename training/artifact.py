"""Writes a fitted pipeline as a model directory: the artifact and its model card."""

import pickle
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import joblib
from pydantic import ValidationError

from shared.card import (
    CARD_FILE,
    MODEL_NAME_PATTERN,
    MODEL_VERSION_PATTERN,
    PIPELINE_FILE,
    PYTHON_VERSION_KEY,
    REQUIREMENTS_FILE,
    SKOPS_FILE,
    Data,
    Metric,
    ModelCard,
    read_card,
)
from shared.columns import ModelInput
from shared.errors import ArtifactExists, CannotServe
from shared.model_files import compute_file_digest, compute_file_digests
from training import skops_file
from training.code import copy_code
from training.inputs import describe_input, remove_summaries, to_plain_frame
from training.missing import append_missing_values
from training.outputs import find_classes, find_outputs
from training.proof import prove
from training.sample import choose_example_indices, choose_proof_indices, find_missing_values, take_rows, to_client_rows

_LIBRARIES: Final = ("numpy", "scikit-learn", "joblib")
_FRAME_LIBRARIES: Final = {"pandas": ("pandas", "pyarrow"), "polars": ("polars",)}


def save(
    pipeline: Any,
    models_dir: Path | str,
    *,
    name: str,
    version: str,
    X: Any,
    source: str,
    columns: Sequence[str] | None = None,
    nullable: bool | Collection[str] = False,
    metrics: dict[str, Metric] | None = None,
    artifact: Path | None = None,
    code: Sequence[Path | str] = (),
    as_skops: bool = False,
    trusted_types: Collection[str] = (),
    is_made_up: bool = False,
) -> Path:
    """Write `models_dir/name/version/` with one rename, after proving that serving returns the same outputs.

    Args:
        pipeline: a fitted pipeline, or another fitted estimator, whose last step predicts or transforms.
        models_dir: the folder of all models.
        name: the model's name, in lower case, as prediction responses show it.
        version: the model's version; a version that exists is never overwritten.
        X: the training data, or a part of it: a matrix, a pandas or polars data frame, or a list or Series of texts.
            The card describes its columns; a worker passes rows of the same kind to the pipeline.
        source: where the training data comes from, in a few words.
        columns: the names of a matrix's columns; x0, x1, … if the pipeline has none.
        nullable: columns in which a value may be missing although none is missing in X, with a warning if the pipeline
            raises on it; True: all columns whose dtype can store a missing value.
        metrics: cross-validated scores, by name.
        artifact: the file from which the pipeline was loaded, which is copied instead of writing the pipeline again.
        code: modules and packages that the pipeline needs and no distribution provides. They are copied, with the data
            files of packages, and workers import the copies.
        as_skops: whether to write a skops file instead of a pickle.
        trusted_types: full names of types that a skops file may contain besides those that skops trusts; workers need
            them in `SEPAL_TRUSTED_TYPES`.
        is_made_up: whether X is only a stand-in for the training data; the card then contains no summaries of it.

    Returns:
        The model directory.

    Raises:
        ArtifactExists: this name and version exist with another pipeline or card.
        CannotServe: Sepal cannot serve the pipeline, or not exactly; the message has the reason and a remedy.
    """
    check_name_and_version(name, version)
    outputs = find_outputs(pipeline)
    model_input = describe_input(pipeline, X, columns, nullable)
    X = to_plain_frame(X)
    if is_made_up:
        model_input = remove_summaries(model_input)
    missing = find_missing_values(model_input, X)
    example = to_client_rows(model_input, take_rows(X, choose_example_indices(missing)))
    target = Path(models_dir) / name / version
    Path(models_dir).mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{name}-{version}-", dir=Path(models_dir).absolute()))
    try:
        copy_code(code, staged)
        written = staged / (SKOPS_FILE if as_skops else PIPELINE_FILE)
        _write_artifact(pipeline, artifact, written, trusted_types)
        with _explain_invalid_arguments():
            card = ModelCard(
                name=name,
                version=version,
                artifact=written.name,
                digest=compute_file_digest(written),
                input=model_input,
                classes=find_classes(pipeline),
                outputs=outputs,
                versions=_installed_versions(model_input),
                data=Data(source=source, rows=0 if is_made_up else len(missing)),
                metrics=metrics or {},
                example=tuple(row if isinstance(row, str) else tuple(row) for row in example),
            )
        card = _write_card(card, staged)
        proof = take_rows(X, choose_proof_indices(missing))
        are_named = not isinstance(nullable, bool)
        proof, refused = append_missing_values(pipeline, model_input, proof, missing, try_all=are_named)
        if are_named:
            _warn_of_refused_values(refused)
        proved = prove(staged, card, pipeline, proof, to_client_rows(model_input, proof), trusted_types)
        found = {"versions": card.versions | proved.versions, "outputs": proved.outputs}
        card = _write_card(card.model_copy(update=found), staged)
        staged.chmod(0o755)
        _publish(staged, target, card)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def check_name_and_version(name: str, version: str) -> None:
    """Check a model's name and version, which become folder names.

    Raises:
        CannotServe: one of them does not match its pattern.
    """
    for what, given, pattern, letters in (
        ("name", name, MODEL_NAME_PATTERN, "lower-case letters"),
        ("version", version, MODEL_VERSION_PATTERN, "letters"),
    ):
        if not isinstance(given, str) or not re.fullmatch(pattern, given):
            raise CannotServe(
                f"the {what} {given!r} is not allowed",
                f"Give a {what} as a string of {letters} (a to z), digits, dots, hyphens and underscores that begins "
                "with a letter or a digit.",
            )


def _warn_of_refused_values(refused: dict[str, str]) -> None:
    for name, reason in refused.items():
        warnings.warn(
            f'the pipeline raises if the value of "{name}" is missing, which nullable allows ({reason}): such rows '
            "will be rejected. Impute it in the pipeline, as SimpleImputer does, or leave it out of nullable.",
            stacklevel=3,
        )


@contextmanager
def _explain_invalid_arguments() -> Iterator[None]:
    """Report the arguments of `save` that the model card contains as they are, and that have a wrong type."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise CannotServe(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            'Give source as a string, and metrics as {"accuracy": Metric(mean=0.9, std=0.02)}, of finite numbers.',
        ) from error


def _write_artifact(pipeline: Any, artifact: Path | None, path: Path, trusted_types: Collection[str]) -> None:
    if artifact is not None:
        shutil.copyfile(artifact, path)
    elif path.name == SKOPS_FILE:
        skops_file.dump(pipeline, path)
    else:
        _dump_pickle(pipeline, path)
    if path.name == SKOPS_FILE:
        skops_file.check_types(path, trusted_types)


def _dump_pickle(pipeline: Any, path: Path) -> None:
    try:
        joblib.dump(pipeline, path)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CannotServe(
            f"the pipeline cannot be pickled ({error})",
            "Replace a lambda or local function by a function of a module that the worker can import.",
        ) from error


def _write_card(card: ModelCard, model_dir: Path) -> ModelCard:
    """Write the requirements file and the card; return the card with the digests of all files."""
    pins = [f"{name}=={number}\n" for name, number in card.versions.items() if name != PYTHON_VERSION_KEY]
    (model_dir / REQUIREMENTS_FILE).write_text("".join(pins))
    card = card.model_copy(update={"files": compute_file_digests(model_dir)})
    (model_dir / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n")
    return card


def _publish(staged_dir: Path, target_dir: Path, card: ModelCard) -> None:
    target_dir.parent.mkdir(exist_ok=True)
    try:
        staged_dir.rename(target_dir)
    except OSError:
        if not target_dir.exists():
            raise
        if read_card(target_dir) != card:
            raise ArtifactExists(f"{target_dir} contains another pipeline or card") from None


def _installed_versions(model_input: ModelInput) -> dict[str, str]:
    found = {PYTHON_VERSION_KEY: platform.python_version()}
    for library in (*_LIBRARIES, *_FRAME_LIBRARIES.get(model_input.library or "", ())):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
