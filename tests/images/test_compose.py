"""The system of docker-compose.yml, with images built from this repository."""

import re
import time
from io import BytesIO

import httpx
import pytest
from pyarrow import parquet

from benchmarks.scaling.traffic import Traffic
from shared.ids import PredictionId, child_id
from tests.images.conftest import PASSWORD, WORKERS, System, make_readable_certificate
from tests.own_code import IRIS
from tests.patience import longest_test
from tests.stack import wait_for

pytestmark = [pytest.mark.images, pytest.mark.timeout(2 * longest_test())]  # images are built first

TUTORIAL = [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]
BODY = b'{"data": [[4.8, 3, 1.4, 0.3], [2, 1, 3.2, 1.1]]}'
_METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9540/metrics').read().decode())"
_INSTALLED = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"


def test_request_of_the_tutorial_is_answered(system: System) -> None:
    answer = system.client.predict(TUTORIAL)
    assert answer.status_code == 200
    assert answer.json()["prediction"] == [0, 1]
    assert answer.json()["log_proba"][0] == [0.0, "-Infinity", "-Infinity"]


def test_every_container_is_healthy_and_confined(system: System) -> None:
    containers = system.composed.containers()
    assert len(containers) == 6 + WORKERS
    for container in containers:
        name, host = container["Name"], container["HostConfig"]
        assert container["State"]["Health"]["Status"] == "healthy", name
        assert container["Config"]["User"] not in ("", "root", "0"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), name
        assert host["Memory"] > 0, name
        assert host["NanoCpus"] > 0, name
        assert host["PidsLimit"] > 0, name


def test_broker_and_workers_publish_no_port(system: System) -> None:
    published = {
        container["Config"]["Labels"]["com.docker.compose.service"]
        for container in system.composed.containers()
        if any(container["NetworkSettings"]["Ports"].values())
    }
    assert published == {"api", "proxy", "flower", "prometheus"}


def test_proxy_terminates_tls_in_front_of_the_gateway(system: System) -> None:
    with system.proxy() as proxy:
        answer = proxy.post("/predict", json={"data": TUTORIAL})
        assert answer.json()["prediction"] == [0, 1]
        assert answer.headers["Strict-Transport-Security"]
        assert proxy.get("/metrics").status_code == 404


def test_proxy_reads_a_new_certificate_without_a_restart(system: System) -> None:
    [before] = system.composed.containers("proxy")
    make_readable_certificate(system.certificate.key.parent)
    system.composed.compose("kill", "-s", "HUP", "proxy")

    def answered() -> bool:
        with system.proxy() as proxy:
            try:
                return proxy.post("/predict", json={"data": TUTORIAL}).status_code == 200
            except httpx.TransportError:  # the old certificate, or an old process that ends
                return False

    wait_for(answered, "an answer behind the new certificate")
    [after] = system.composed.containers("proxy")
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_prometheus_scrapes_the_gateway_and_every_worker(system: System) -> None:
    def healths() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for target in system.prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found

    expected = {"api": ["up"], "worker": ["up"] * (WORKERS + 1)}
    wait_for(lambda: healths() == expected, "a successful scrape of every target")


def test_broker_requires_the_password(system: System) -> None:
    answer = system.composed.compose("exec", "-T", "-e", "REDISCLI_AUTH=", "redis", "redis-cli", "ping")
    assert "NOAUTH" in answer
    assert "PONG" in system.composed.compose("exec", "-T", "redis", "redis-cli", "ping")


def test_variables_without_a_default_reach_the_gateway(system: System) -> None:
    assert system.client.client.get("/dead-letters").status_code == 403
    answer = system.client.client.get("/dead-letters", headers={"Authorization": f"Bearer {PASSWORD}"})
    assert answer.status_code == 200


def test_gateway_image_has_no_scikit_learn(system: System) -> None:
    installed = system.composed.compose("exec", "-T", "api", "python", "-c", _INSTALLED).split()
    assert "fastapi" in installed
    assert not {"scikit-learn", "pandas", "joblib"} & set(installed)


def test_worker_image_has_no_web_server(system: System) -> None:
    installed = system.composed.compose("exec", "-T", "worker", "python", "-c", _INSTALLED).split()
    assert "scikit-learn" in installed
    assert not {"fastapi", "starlette", "uvicorn", "flower"} & set(installed)


def test_file_is_scored_and_returned_by_containers_that_share_its_objects(system: System) -> None:
    content = f"{','.join(IRIS.feature_names)}\n" + "4.8,3,1.4,0.3\n2,1,3.2,1.1\n" * 10_000
    response = system.client.client.post("/predictions", content=content, headers={"Content-Type": "text/csv"})
    assert response.status_code == 202, response.text
    location = response.headers["Location"]
    system.client.poll(location)
    result = system.client.client.get(location, headers={"Accept": "application/vnd.apache.parquet"})
    assert parquet.read_table(BytesIO(result.content))["prediction"].to_pylist() == [0, 1] * 10_000


def test_bulk_worker_runs_the_batches_of_a_spanning_prediction(system: System) -> None:
    wait_for(lambda: len(_worker_names(system.flower.get("/workers"))) == WORKERS + 1, "all workers in Flower")
    submitted = system.client.predict(TUTORIAL * 5000, prefer="respond-async")
    assert submitted.status_code == 202
    final = system.client.poll(submitted.headers["Location"]).json()
    assert final["prediction"] == [0, 1] * 5000
    parent = PredictionId.parse(final["id"]).batch_id

    def workers() -> set[str] | None:
        pages = [system.flower.get(f"/task/{child_id(parent, index)}") for index in range(10)]
        if not all("SUCCESS" in page.text for page in pages):
            return None
        return {name for page in pages for name in _worker_names(page)}

    [name] = wait_for(workers, "all batches in Flower")
    assert name.startswith("bulk-")


def test_no_prediction_is_lost_while_workers_join_and_leave_under_load(system: System) -> None:
    began = time.time()
    with Traffic(system.client.port, BODY, n_waiting=4, n_polling=3) as traffic:
        before = traffic.measure_rate(2)
        system.composed.scale(4)
        system.composed.wait_until_healthy()
        attempts = _attempts(system)
        traffic.measure_rate(5)
        gained = [after - before for before, after in zip(attempts, _attempts(system), strict=True)]
        system.composed.scale(1)
        after = traffic.measure_rate(2)
    assert min(before, after) > 0
    assert len(gained) == 4
    assert min(gained) > sum(gained) / 10
    assert not traffic.failures
    assert traffic.accepted == traffic.succeeded
    assert system.composed.exit_statuses("worker", began) == [0, 0, 0]
    assert system.composed.exit_statuses("api", began) == []
    system.composed.scale(WORKERS)
    system.composed.wait_until_healthy()


def test_health_checks_fail_while_the_broker_is_away(system: System) -> None:
    system.composed.compose("stop", "redis")
    wait_for(lambda: _healths(system, "api") | _healths(system, "worker") == {"unhealthy"}, "failing health checks")
    system.composed.compose("start", "redis")
    system.composed.wait_until_healthy()
    assert system.client.predict(TUTORIAL).status_code == 200


def test_containers_stop_cleanly_and_results_survive_a_restart(system: System) -> None:
    location = system.client.predict(TUTORIAL, prefer="respond-async").headers["Location"]
    before = system.client.poll(location).json()
    system.composed.compose("stop")
    for container in system.composed.containers():
        state = container["State"]
        # uvicorn raises the signal again after its shutdown, so a gateway may end with 143.
        assert state["ExitCode"] in (0, 143), (container["Name"], state)
        assert not state["OOMKilled"]
    system.composed.compose("start")
    wait_for(system.client.is_ready, "a ready gateway")
    assert system.client.client.get(location).json() == before


def _healths(system: System, service: str) -> set[str]:
    return {container["State"]["Health"]["Status"] for container in system.composed.containers(service)}


def _attempts(system: System) -> list[float]:
    """Return the number of attempts of each worker."""
    counts = []
    for container in system.composed.containers("worker"):
        number = container["Config"]["Labels"]["com.docker.compose.container-number"]
        metrics = system.composed.compose("exec", "-T", f"--index={number}", "worker", "python", "-c", _METRICS)
        counts.append(sum(map(float, re.findall(r"^sepal_attempts_total{.*} (.*)$", metrics, re.MULTILINE))))
    return counts


def _worker_names(page: httpx.Response) -> set[str]:
    return set(re.findall(r"(?:bulk-)?worker-[0-9a-f]{8}@[0-9a-f]{12}", page.text))
