"""The composed system, built from this folder and run for real."""

import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared.ids import PredictionId, slice_id
from tests.stack import ROOT, Client, clean_environment, free_port, wait_for

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
WORKERS = 2


@dataclass(frozen=True)
class Composed:
    """A running project of docker-compose."""

    name: str
    environment: dict[str, str]
    client: Client
    flower: httpx.Client

    def compose(self, *arguments: str) -> str:
        command = ["docker", "compose"] if _has_compose_v2() else ["docker-compose"]
        return _run([*command, "--project-name", self.name, *arguments], self.environment)

    def containers(self, service: str = "") -> list[Any]:
        """What `docker inspect` says of a service's containers, or of all."""
        ids = self.compose("ps", "--quiet", *([service] if service else [])).split()
        return list(json.loads(_run(["docker", "inspect", *ids], self.environment)))

    def is_healthy(self) -> bool:
        return all(container["State"]["Health"]["Status"] == "healthy" for container in self.containers())


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    if shutil.which("docker") is None:
        pytest.fail("these tests need a container engine")
    api_port, flower_port = free_port(), free_port()
    environment = clean_environment(api_port=api_port, flower_port=flower_port)
    flower = httpx.Client(base_url=f"http://127.0.0.1:{flower_port}")
    system = Composed(f"sepal-{uuid.uuid4().hex[:8]}", environment, Client(api_port), flower)
    try:
        system.compose("up", "--detach", "--build", "--scale", f"worker={WORKERS}")
        wait_for(system.is_healthy, "healthy containers", seconds=180)
        yield system
    finally:
        system.compose("down", "--volumes", "--rmi", "local", "--timeout", "10")
        system.client.client.close()
        flower.close()


def test_tutorials_request_is_answered(composed: Composed) -> None:
    answer = composed.client.predict(TUTORIAL)
    assert answer.status_code == 200
    assert answer.json()["prediction"] == [0, 1]
    assert answer.json()["log_proba"][0] == [0.0, "-Infinity", "-Infinity"]


def test_every_service_is_healthy_and_none_is_root(composed: Composed) -> None:
    containers = composed.containers()
    assert len(containers) == 3 + WORKERS
    for container in containers:
        assert container["State"]["Health"]["Status"] == "healthy"
        assert container["Config"]["User"] not in ("", "root", "0")


def test_gateways_image_has_no_scikit_learn(composed: Composed) -> None:
    installed = composed.compose("exec", "-T", "api", "python", "-m", "pip", "list", "--format=freeze").lower()
    assert "fastapi==" in installed
    for absent in ("scikit-learn", "numpy", "joblib"):
        assert absent not in installed


def test_large_prediction_is_worked_on_by_both_workers(composed: Composed) -> None:
    wait_for(lambda: len(_workers_in_flower(composed)) == WORKERS, "both workers in Flower")
    submitted = composed.client.predict(TUTORIAL * 5000, prefer="respond-async")
    assert submitted.status_code == 202
    final = composed.client.poll(submitted.headers["Location"]).json()
    assert final["prediction"] == [0, 1] * 5000
    stem = PredictionId.parse(final["id"]).batch_id

    def workers() -> set[str] | None:
        pages = [composed.flower.get(f"/task/{slice_id(stem, number)}").text for number in range(10)]
        if not all("SUCCESS" in page for page in pages):
            return None
        return {name for page in pages for name in _worker_names(page)}

    assert len(wait_for(workers, "all batches in Flower")) == WORKERS


def test_scaling_down_and_up_loses_nothing(composed: Composed) -> None:
    locations = [composed.client.predict(TUTORIAL, prefer="respond-async").headers["Location"] for _ in range(200)]
    composed.compose("up", "--detach", "--scale", "worker=1")
    locations += [composed.client.predict(TUTORIAL, prefer="respond-async").headers["Location"] for _ in range(200)]
    composed.compose("up", "--detach", "--scale", f"worker={WORKERS}")
    assert {composed.client.poll(location).json()["status"] for location in locations} == {"succeeded"}


def test_result_outlives_a_restart_of_everything(composed: Composed) -> None:
    location = composed.client.predict(TUTORIAL, prefer="respond-async").headers["Location"]
    before = composed.client.poll(location).json()
    composed.compose("restart", "--timeout", "20")
    wait_for(composed.client.is_ready, "a ready gateway", seconds=120)
    assert composed.client.client.get(location).json() == before


def _worker_names(page: str) -> set[str]:
    return set(re.findall(r"worker-[0-9a-f]{8}@[0-9a-f]{12}", page))


def _workers_in_flower(composed: Composed) -> set[str]:
    return _worker_names(composed.flower.get("/workers").text)


def _has_compose_v2() -> bool:
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return done.returncode == 0


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
