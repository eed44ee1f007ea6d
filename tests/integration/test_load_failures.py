"""Gateways report why a worker cannot serve its model."""

import shutil
from pathlib import Path
from typing import Any

from shared.card import CARD_SCHEMA
from shared.store.schema import SCHEMA, Field, Key
from tests import pipelines
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, listens, wait_for


def reasons(gateway: Gateway) -> dict[str, str]:
    """Return the codes and details of why the gateway is not ready."""
    answer: Any = gateway.client.get("/readyz").json()
    return {reason["code"]: reason["detail"] for reason in answer.get("reasons", ())}


def stack_without_worker(stack: Stack) -> Gateway:
    stack.start_broker()
    gateway = stack.start_gateway()
    wait_for(lambda: listens(gateway.port), "a gateway")
    return gateway


def test_unpicklable_model_is_reported_until_another_worker_serves(
    stack: Stack, models_dir: Path, iris_dir: Path
) -> None:
    gateway = stack_without_worker(stack)
    model_dir = save_misbehaving(models_dir, pipelines.FailsToLoad())
    worker = stack.start_worker(model_dir=model_dir)
    found = wait_for(lambda: reasons(gateway).get("artifact-unloadable"), "the reason")
    assert "raised RuntimeError. See the traceback" in found
    assert "install the pipeline's dependencies" in found
    assert "no-worker" in reasons(gateway)
    assert str(model_dir) not in gateway.client.get("/readyz").text
    assert 'code="artifact-unloadable"} 1.0' in gateway.client.get("/metrics").text
    assert worker.wait() == 1
    log = worker.log.read_text()
    assert "a library that this pipeline needs is not here" in log
    assert "StopIteration" not in log
    stack.start_worker(model_dir=iris_dir)
    gateway.wait_until_ready()
    assert not stack.redis.exists("sepal:load-failure")


def test_altered_artifact_is_reported_with_a_remedy(stack: Stack, tmp_path: Path, iris_dir: Path) -> None:
    gateway = stack_without_worker(stack)
    model_dir = tmp_path / "altered"
    shutil.copytree(iris_dir, model_dir)
    (model_dir / "pipeline.joblib").write_bytes(b"something else")
    worker = stack.start_worker(model_dir=model_dir)
    found = wait_for(lambda: reasons(gateway).get("artifact-altered"), "the reason")
    assert "pipeline.joblib has the digest" in found
    assert "restore both" in found
    assert str(tmp_path) not in found
    assert worker.wait() == 1


def test_card_of_another_schema_is_refused_by_worker_and_gateway(stack: Stack, tmp_path: Path, iris_dir: Path) -> None:
    gateway = stack_without_worker(stack)
    model_dir = tmp_path / "newer"
    shutil.copytree(iris_dir, model_dir)
    card = model_dir / "card.json"
    card.write_text(card.read_text().replace(f'"schema": {CARD_SCHEMA}', '"schema": 1'))
    worker = stack.start_worker(model_dir=model_dir)
    assert worker.wait() == 1
    assert f"does not have schema {CARD_SCHEMA}" in worker.log.read_text()
    wait_for(lambda: "artifact-incompatible" in reasons(gateway), "the reason")
    stack.redis.set("sepal:model", card.read_bytes())  # as a newer worker would announce it
    wait_for(lambda: "record-incompatible" in reasons(gateway), "the reason")
    assert gateway.predict([[1, 2, 3, 4]]).json()["code"] == "record-incompatible"


def test_batch_of_another_schema_is_left_unchanged(stack: Stack, iris_dir: Path) -> None:
    gateway = stack_without_worker(stack)
    stack.start_worker(model_dir=iris_dir)
    gateway.wait_until_ready()
    for worker in stack.parts[2:]:
        worker.stop()
    location = gateway.predict([[1, 2, 3, 4]], prefer="respond-async").headers["Location"]
    (key,) = stack.redis.scan_iter(f"{Key.BATCH}*")
    stack.redis.hset(key, Field.SCHEMA, SCHEMA + 1)
    before = stack.redis.dump(key)
    worker = stack.start_worker(model_dir=iris_dir)
    wait_for(
        lambda: "skipped a batch: another version of Sepal wrote its record" in worker.log.read_text(), "the refusal"
    )
    refused = gateway.client.get(location)
    assert (refused.status_code, refused.json()["code"]) == (503, "record-incompatible")
    assert stack.redis.dump(key) == before
    assert "Traceback" not in worker.log.read_text()
    stack.redis.hset(key, Field.SCHEMA, SCHEMA)  # stands for a worker that can read the record
    assert gateway.poll(location).json()["status"] == "succeeded"
