"""The model card: the inputs and outputs of a pipeline, and the digest that identifies it."""

import hashlib
from io import BufferedReader
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from shared.columns import FLOAT_TYPES, CompleteModel, FrozenModel, ModelInput, Value
from shared.errors import ArtifactIncompatible, ArtifactMissing
from shared.names import Output
from shared.rows import Encoding

CARD_SCHEMA: Final = 3
MODEL_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]*$"
MODEL_VERSION_PATTERN: Final = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"
PIPELINE_FILE: Final = "pipeline.joblib"
SKOPS_FILE: Final = "pipeline.skops"
CARD_FILE: Final = "card.json"
REQUIREMENTS_FILE: Final = "requirements.txt"
PYTHON_VERSION_KEY: Final = "python"
"""The key of Python in the versions of a card; the other keys are names of distributions."""


class Data(FrozenModel):
    """The data that the pipeline was fitted on."""

    source: str
    rows: int


class Metric(FrozenModel):
    """A cross-validated score: mean and standard deviation over the folds."""

    mean: FiniteFloat
    std: FiniteFloat


class ModelRef(FrozenModel):
    """The reference to a model, which every response contains."""

    name: str
    version: str
    digest: str


class ModelCard(CompleteModel):
    """The description of a pipeline: everything that is known about it without loading it."""

    card_schema: Literal[3] = Field(default=CARD_SCHEMA, alias="schema")
    """Version of the card's format; a card with another version is refused."""
    name: str = Field(pattern=MODEL_NAME_PATTERN)
    version: str = Field(pattern=MODEL_VERSION_PATTERN)
    artifact: Literal["pipeline.joblib", "pipeline.skops"] = PIPELINE_FILE
    """The file of the pipeline: a pickle, or a file of skops, which is never unpickled."""
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """SHA-256 of the artifact."""
    files: dict[str, str] = Field(default_factory=dict)
    """Digests of the other files that the model needs, by path in the model directory: own code and requirements."""
    input: ModelInput
    classes: tuple[Value, ...] | tuple[tuple[Value, ...], ...] | None
    """The classes, in the column order of `log_proba` and `proba`; for several targets, those of each; None if the
    pipeline is not a classifier."""
    outputs: tuple[Output, ...] = Field(min_length=1)
    """The outputs that a request may ask for."""
    versions: dict[str, str]
    """Versions at training time: of Python, and of the distributions that the pipeline needs."""
    data: Data
    metrics: dict[str, Metric]
    example: tuple[tuple[Value | None, ...] | str, ...] = Field(min_length=1)
    """Valid rows: the documentation shows them, and a worker warms up with them."""

    @model_validator(mode="after")
    def _check_examples(self) -> Self:
        lengths = {None if isinstance(row, str) else len(row) for row in self.example}
        if lengths != {None if self.input.kind == "text" else len(self.input.columns)}:
            raise ValueError("an example must be a text, or have one value for each column")
        return self

    @property
    def encoding(self) -> Encoding:
        """The encoding of rows for this model: `MATRIX` if the input is a matrix of floats, otherwise `MESSAGEPACK`."""
        is_float = self.input.kind == "matrix" and all(column.type in FLOAT_TYPES for column in self.input.columns)
        return Encoding.MATRIX if is_float else Encoding.MESSAGEPACK

    @property
    def default_outputs(self) -> tuple[Output, ...]:
        """The outputs of a request that names none."""
        predicted = tuple(each for each in (Output.PREDICTION, Output.LOG_PROBA) if each in self.outputs)
        transformed = tuple(each for each in self.outputs if each is Output.TRANSFORM)
        return predicted or transformed or self.outputs[:1]

    @property
    def ref(self) -> ModelRef:
        """The reference to this model, for responses."""
        return ModelRef(name=self.name, version=self.version, digest=self.digest)


def read_card(model_dir: Path) -> ModelCard:
    """Read the card of a model directory.

    Raises:
        ArtifactMissing: there is no readable card.
        ArtifactIncompatible: another version of Sepal wrote it.
    """
    path = model_dir / CARD_FILE
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactMissing(f"{path.name} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        faults = error.errors()
        if any(fault["loc"] == ("schema",) for fault in faults):
            raise ArtifactIncompatible(
                f"{path.name} does not have schema {CARD_SCHEMA}: another version of Sepal wrote it",
                "Save the pipeline again with this version, or serve it with the version that saved it.",
            ) from error
        where = ".".join(map(str, faults[0]["loc"]))
        raise ArtifactMissing(f"{path.name} is not a model card ({where or 'JSON'}: {faults[0]['msg']})") from error


def compute_digest(file: BufferedReader) -> str:
    """Compute the digest of an artifact in the form that the card has."""
    file.seek(0)
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
