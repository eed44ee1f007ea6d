"""The model card: what goes into a pipeline, what comes out, and how to know that it is the right one."""

import hashlib
from io import BufferedReader
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import ArtifactIncompatible, ArtifactMissing

CARD_SCHEMA: Final = 1
PIPELINE_FILE: Final = "pipeline.joblib"
CARD_FILE: Final = "card.json"

Label = bool | int | float | str


class Frozen(BaseModel):
    """A value that is never changed and tolerates no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Feature(Frozen):
    """One input column."""

    name: str
    type: Literal["float64"] = "float64"


class Data(Frozen):
    """What the pipeline was fitted on."""

    source: str
    rows: int


class Metric(Frozen):
    """A cross-validated score over the folds."""

    mean: float
    std: float


class ModelRef(Frozen):
    """The part of a card that every answer carries."""

    name: str
    version: str
    digest: str


class ModelCard(Frozen):
    """Everything the gateway and the worker know about a pipeline without unpickling it."""

    card_schema: Literal[1] = Field(default=CARD_SCHEMA, alias="schema")
    """Of the card: one with another number is refused."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """Of `pipeline.joblib`, byte for byte."""
    features: tuple[Feature, ...] = Field(min_length=1)
    """The columns, in the order a row has them."""
    classes: tuple[Label, ...] | None
    """The columns of `log_proba`, in order; None for a pipeline that is no classifier."""
    outputs: tuple[Literal["prediction", "log_proba"], ...]
    versions: dict[str, str]
    """Python, numpy, scikit-learn and joblib at training time."""
    data: Data
    metrics: dict[str, Metric]
    example: tuple[tuple[float, ...], ...] = Field(min_length=1)
    """Rows that work: the documentation shows them, and a worker warms up with them."""

    @property
    def ref(self) -> ModelRef:
        """The name, version and digest that answers carry."""
        return ModelRef(name=self.name, version=self.version, digest=self.digest)


def read_card(model_dir: Path) -> ModelCard:
    """Read the card of a model directory.

    Raises:
        ArtifactMissing: no readable card is there.
        ArtifactIncompatible: another version of Sepal wrote it.
    """
    path = model_dir / CARD_FILE
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactMissing(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        if any(fault["loc"] == ("schema",) for fault in error.errors()):
            raise ArtifactIncompatible(f"{path} has another schema than {CARD_SCHEMA}") from error
        raise ArtifactMissing(f"{path} is not a model card: {error}") from error


def digest(file: BufferedReader) -> str:
    """Hash an artifact from its beginning, as the card writes it."""
    file.seek(0)
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
