"""Gates in the pipeline: a row waits while the gate that its second column names is closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import pipelines
from tests.models import save_misbehaving


class Gates:
    """The gates of one model; all are open at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def close(self, *numbers: int) -> None:
        for number in numbers:
            pipelines.gate(self.folder, number).touch()

    def open(self, *numbers: int) -> None:
        for number in numbers:
            pipelines.gate(self.folder, number).unlink(missing_ok=True)

    @contextmanager
    def closed(self, *numbers: int) -> Iterator[None]:
        """Close gates; open them at the end of the context, unless the test has done so."""
        self.close(*numbers)
        try:
            yield
        finally:
            self.open(*numbers)


def save_gated(folder: Path, kind: type[pipelines.WaitsAtGates] = pipelines.WaitsAtGates) -> tuple[Path, Gates]:
    """Save a pipeline with gates as a model directory in `folder`; return the directory and the gates."""
    gates = Gates(folder / "gates")
    return save_misbehaving(folder / "models", kind(str(gates.folder))), gates
