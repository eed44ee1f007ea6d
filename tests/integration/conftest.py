"""Fixtures for tests of a pipeline with gates; a module sets `PIPELINE` to use another class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import pipelines
from tests.gates import Gates, save_gated
from tests.patience import patience
from tests.stack import Gateway, Stack, running_stack


class GatedStack(NamedTuple):
    """A stack with one pool process, and the gates of its pipeline."""

    stack: Stack
    gateway: Gateway
    gates: Gates


@pytest.fixture(scope="module")
def gated_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Gates]:
    kind = getattr(request.module, "PIPELINE", pipelines.WaitsAtGates)
    return save_gated(tmp_path_factory.mktemp("gated"), kind)


@pytest.fixture(scope="module")
def model_dir(gated_model: tuple[Path, Gates]) -> Path:
    return gated_model[0]


@pytest.fixture(scope="module")
def gates(gated_model: tuple[Path, Gates]) -> Gates:
    return gated_model[1]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, gates: Gates) -> Iterator[GatedStack]:
    folder, stall_seconds = tmp_path_factory.mktemp("stack"), patience()
    with running_stack(folder, model_dir, "tests.patient", stall_seconds=stall_seconds) as (stack, gateway):
        yield GatedStack(stack, gateway, gates)
