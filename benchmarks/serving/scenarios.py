"""The scenarios of `make bench`: for each, a model, the systems that serve it, and the load."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.summary import CPU, P50, THROUGHPUT, Figure
from benchmarks.serving.workload import MODELS_DIR


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of the ratio between a figure of Sepal's and that of the in-process service, for single rows."""

    figure: Figure
    connections: int
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        bounds = [f"{sign} {bound:g}" for sign, bound in (("≥", self.at_least), ("≤", self.at_most)) if bound]
        return ", ".join(bounds) or "–"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A model, the systems that serve it, and the load."""

    name: str
    title: str
    about: str
    """The pipeline, in a sentence."""
    recipe: str
    """The name in `training.recipes`."""
    files: str
    """The prefix of its file names."""
    systems: Sequence[str]
    connections: Sequence[int]
    rows: Sequence[int] = (1,)
    """Rows per request."""
    targets: Sequence[Target] = ()

    @property
    def model_dir(self) -> Path:
        """The folder of the artifact and its card."""
        return MODELS_DIR / self.recipe / "1"

    @property
    def json_file(self) -> str:
        """The name of the file with the results."""
        return f"{self.files}.json"

    @property
    def report_file(self) -> str:
        """The name of the page."""
        return f"{self.files}-results.md"

    @property
    def chart_file(self) -> str | None:
        """The name of the chart over the numbers of connections; None if there is only one number."""
        return f"{self.files}.svg" if len(self.connections) > 1 else None


_PENGUINS: Final = Scenario(
    name="penguins",
    title="penguins",
    about="A data frame of numbers and strings, some missing, which are imputed, scaled and one-hot encoded for a "
    "logistic regression.",
    recipe="penguins",
    files="serving-penguins",
    systems=("in_process", "in_process_cores", "mosec", "litserve", "bentoml", "mlserver", "sepal", "constant"),
    connections=(1, 32, 128),
    targets=(
        Target(P50, 1, at_most=1),
        Target(CPU, 1, at_most=1),
        Target(THROUGHPUT, 1),
        Target(THROUGHPUT, 32, at_least=20),
        Target(THROUGHPUT, 128, at_least=50),
    ),
)
_IRIS: Final = Scenario(
    name="iris",
    title="iris",
    about="Four numbers, which are scaled for a decision tree.",
    recipe="iris",
    files="serving",
    systems=("in_process", "celery_get", "mosec", "litserve", "bentoml", "mlserver", "sepal", "constant"),
    connections=(1, 8, 32, 128, 512),
    rows=(1, 16),
)
_FOREST: Final = Scenario(
    name="forest",
    title="a forest",
    about="The 64 pixels of a digit, for a random forest of 300 trees.",
    recipe="digits-forest",
    files="serving-forest",
    systems=("in_process", "sepal"),
    connections=(1,),
    targets=(Target(P50, 1, at_most=0.7),),
)
SCENARIOS: Final = {scenario.name: scenario for scenario in (_PENGUINS, _IRIS, _FOREST)}
"""In the order in which they are measured and shown."""
