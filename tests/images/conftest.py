"""One composed system for all tests of the containers."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from benchmarks.scaling.composed import Composed
from tests.stack import Client, free_port

WORKERS = 2
PASSWORD = "a-password-of-the-tests"


@dataclass(frozen=True)
class System:
    """A running project of docker-compose, and who speaks to it."""

    composed: Composed
    client: Client
    flower: httpx.Client


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    if shutil.which("docker") is None:
        pytest.fail("these tests need a container engine")
    api_port, flower_port = free_port(), free_port()
    environment = {
        "SEPAL_API_PORT": str(api_port),
        "SEPAL_FLOWER_PORT": str(flower_port),
        "SEPAL_REDIS_PASSWORD": PASSWORD,
        "SEPAL_FLOWER_PASSWORD": PASSWORD,
        "SEPAL_OPERATOR_TOKEN": PASSWORD,
    }
    client = Client(api_port)
    flower = httpx.Client(base_url=f"http://127.0.0.1:{flower_port}", auth=("sepal", PASSWORD))
    with client.client, flower, Composed(workers=WORKERS, environment=environment) as composed:
        yield System(composed, client, flower)
