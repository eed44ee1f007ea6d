"""The contents of docker-compose.yml; tests/images tests the running containers."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from api.settings import GatewaySettings
from tests.stack import ROOT
from worker.settings import WorkerSettings

TEXT = (ROOT / "docker-compose.yml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = FILE["services"]
EXAMPLE = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
DEFAULTS = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
SETTINGS: dict[str, type[BaseSettings]] = {
    "api": GatewaySettings,
    "worker": WorkerSettings,
    "bulk-worker": WorkerSettings,
}
# In containers the addresses are fixed, logs are JSON, model and objects have other paths than in a checkout, and each
# service has a queue of its own.
FIXED = {"redis_url", "api_host", "api_port", "worker_http_host", "worker_http_port", "worker_nice"}
DIFFERENT = {"SEPAL_LOG_JSON", "SEPAL_MODEL_DIR", "SEPAL_OBJECT_STORE_URL", "SEPAL_WORKER_QUEUES"}
OTHERS = {
    "SEPAL_REDIS_URL",
    "SEPAL_WORKER_NICE",
    "TMPDIR",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


def _passed_through(service: str) -> set[str]:
    """Return the variables that a container gets only if they are set."""
    return {name for name, value in SERVICES[service].get("environment", {}).items() if value is None}


def _settings(service: str) -> dict[str, Any]:
    fields = SETTINGS[service].model_fields
    return {f"SEPAL_{name.upper()}": field for name, field in fields.items() if name not in FIXED}


def _bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 2**20, "g": 2**30}[unit]


def _stage(dockerfile: str, target: str | None) -> str:
    stages = re.split(r"^FROM ", (ROOT / dockerfile).read_text(), flags=re.MULTILINE)
    return stages[-1] if target is None else next(stage for stage in stages if f" AS {target}\n" in stage)


def test_env_example_lists_exactly_the_variables_of_the_compose_file() -> None:
    read = set(re.findall(r"\$\{(\w+)", TEXT)).union(*map(_passed_through, SERVICES))
    assert read == set(EXAMPLE)


def test_env_example_has_the_defaults_of_the_compose_file() -> None:
    assert {name: EXAMPLE[name] for name in DEFAULTS} == DEFAULTS
    assert len(re.findall(r"\$\{", TEXT)) == len(re.findall(r"\$\{\w+:-", TEXT)), "every variable has a default"


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_is_passed_through_and_documented_with_its_default(service: str) -> None:
    settings = _settings(service)
    assert set(settings) == SERVICES[service]["environment"].keys() - OTHERS
    for name in settings.keys() - DIFFERENT:
        default = settings[name].default
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        assert EXAMPLE[name] == ("" if shown in (None, ()) else str(shown)), name


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_hardened_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    for limit in ("cpus", "mem_limit", "pids_limit"):
        assert service[limit]


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_health_check_a_restart_policy_and_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    if "build" in service:
        assert "HEALTHCHECK" in _stage(service["build"]["dockerfile"], service["build"].get("target"))
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    if name not in ("redis", "prometheus", "proxy", "s3"):
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_only_gateway_proxy_flower_and_prometheus_publish_a_port() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api", "proxy", "flower", "prometheus"}
    assert SERVICES["prometheus"]["profiles"] == ["monitoring"]
    assert SERVICES["proxy"]["profiles"] == ["tls"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["prometheus"]["ports"])
    assert DEFAULTS["SEPAL_FLOWER_BIND"] == "127.0.0.1"
    assert FILE["networks"]["back"] == {"internal": True}
    hidden = {name for name, service in SERVICES.items() if service["networks"] == ["back"]}
    assert hidden == {"redis", "worker", "bulk-worker", "s3"}


def test_each_queue_has_workers_and_bulk_ones_get_less_of_a_busy_machine() -> None:
    environments = {name: SERVICES[name]["environment"] for name in ("worker", "bulk-worker")}
    assert DEFAULTS["SEPAL_WORKER_QUEUES"] == "interactive"
    assert environments["bulk-worker"]["SEPAL_WORKER_QUEUES"] == "bulk"
    assert "SEPAL_WORKER_NICE" not in environments["worker"]
    assert environments["bulk-worker"]["SEPAL_WORKER_NICE"] == "10"
    assert SERVICES["bulk-worker"]["cpu_shares"] < 1024 / 5
    assert {name for name, service in SERVICES.items() if "cpu_shares" in service} == {"bulk-worker"}


@pytest.mark.parametrize("service", ["api", "worker", "bulk-worker"])
def test_objects_are_in_a_shared_volume_that_the_containers_user_can_write_to(service: str) -> None:
    folder = DEFAULTS["SEPAL_OBJECT_STORE_URL"]
    assert f"objects:{folder}" in SERVICES[service]["volumes"]
    build = SERVICES[service]["build"]
    made = rf"install --directory --owner=sepal( /\w+)* {folder}\b"
    assert re.search(made, _stage(build["dockerfile"], build.get("target")))


def test_uploads_are_spooled_to_a_volume_and_not_to_memory() -> None:
    api = SERVICES["api"]
    assert f"spool:{api['environment']['TMPDIR']}" in api["volumes"]


def test_s3_server_is_the_one_of_the_tests_and_is_started_on_request() -> None:
    assert SERVICES["s3"]["profiles"] == ["s3"]
    assert (ROOT / "deploy/s3/requirements.txt").read_text() in (ROOT / "requirements/dev.txt").read_text()
    assert DEFAULTS["AWS_ENDPOINT_URL"] == "http://s3:8333"


def test_containers_have_time_to_finish_their_work_when_stopped() -> None:
    assert int(DEFAULTS["SEPAL_API_STOP_SECONDS"]) > 2 * GatewaySettings.model_fields["drain_seconds"].default
    assert int(DEFAULTS["SEPAL_WORKER_STOP_SECONDS"]) > 2 * WorkerSettings.model_fields["batch_seconds"].default
    assert "${SEPAL_API_STOP_SECONDS" in SERVICES["api"]["stop_grace_period"]
    assert "${SEPAL_WORKER_STOP_SECONDS" in SERVICES["worker"]["stop_grace_period"]


def test_broker_is_durable_evicts_nothing_and_has_memory_to_rewrite_its_file() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    for option in (
        "--appendonly yes",
        "--maxmemory-policy noeviction",
        "--maxmemory ${",
        "requirepass $$REDISCLI_AUTH",
    ):
        assert option in command
    assert "SEPAL_REDIS_PASSWORD" not in command  # the list of processes would show it
    assert 1.5 * _bytes(DEFAULTS["SEPAL_REDIS_MAXMEMORY"]) <= _bytes(DEFAULTS["SEPAL_REDIS_MEMORY"])


@pytest.mark.parametrize(
    "name", ["Dockerfile.api", "Dockerfile.worker", "deploy/nginx/Dockerfile", "deploy/s3/Dockerfile"]
)
def test_image_is_labelled_with_the_projects_version(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.*)$", (ROOT / name).read_text(), re.MULTILINE) == [version]
