"""The Kubernetes manifests: valid, consistent with one another, and without unneeded permissions."""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.stack import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST, LATEST = "1.27", kubernetes_validate.latest_version()
# Created by commands of docs/operations.md.
MADE_BY_HAND = {("ConfigMap", "prometheus"), ("Secret", "tls"), ("Secret", "object-store")}
# Not resources of the kustomization: the file itself, a file that is filled in first, one that needs KEDA, and one that
# needs a certificate.
SEPARATE = {"kustomization.yaml", "secret.example.yaml", "keda.yaml", "proxy.yaml"}

Object = dict[str, Any]


def record(**fields: Object) -> Object:
    """Return a JSON schema that requires these fields and allows no others."""
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


STRING: Final[Object] = {"type": "string"}
COUNT: Final[Object] = {"type": "integer", "minimum": 1}
POLICIES: Final = {
    "type": "array",
    "items": record(type={"enum": ["Pods", "Percent"]}, value=COUNT, periodSeconds=COUNT),
}
RULES: Final = record(stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600}, policies=POLICIES)
# All values of a trigger's metadata are strings; KEDA parses the numbers.
METADATA: Final = record(
    serverAddress=STRING,
    query=STRING,
    threshold={"type": "string", "pattern": r"^\d+(\.\d+)?$"},
    ignoreNullValues={"enum": ["true", "false"]},
)
TRIGGER: Final = record(
    type={"const": "prometheus"}, name=STRING, metricType={"enum": ["AverageValue", "Value"]}, metadata=METADATA
)
# The fields of KEDA's ScaledObject in use, from its reference: keda.sh/docs/2.17/reference/scaledobject-spec
SCALED_OBJECT: Final = record(
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata=record(name=STRING, namespace=STRING),
    spec=record(
        scaleTargetRef=record(name=STRING),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        pollingInterval=COUNT,
        advanced=record(horizontalPodAutoscalerConfig=record(behavior=record(scaleUp=RULES, scaleDown=RULES))),
        triggers={"type": "array", "minItems": 1, "items": TRIGGER},
    ),
)


def read() -> list[Object]:
    return [found for path in sorted(FOLDER.glob("*.yaml")) for found in yaml.safe_load_all(path.read_text())]


OBJECTS = read()


def of_kind(*kinds: str) -> list[Object]:
    return [found for found in OBJECTS if found["kind"] in kinds]


def workloads() -> list[Object]:
    return of_kind("Deployment", "StatefulSet")


def pod(workload: Object) -> Object:
    return dict(workload["spec"]["template"]["spec"])


def container(name: str) -> Object:
    return next(each for workload in workloads() for each in pod(workload)["containers"] if each["name"] == name)


def settings() -> dict[str, str]:
    return dict(next(found["data"] for found in of_kind("ConfigMap") if found["metadata"]["name"] == "settings"))


def scalers() -> dict[str, Object]:
    """Return the specifications of the scalers by their names."""
    return {found["metadata"]["name"]: found["spec"] for found in of_kind("ScaledObject")}


def secret_keys(workload: Object) -> Iterator[tuple[str, str]]:
    for each in pod(workload)["containers"]:
        for variable in each.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]


def references() -> Iterator[tuple[str, str]]:
    sources = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
    for workload in workloads():
        if workload["kind"] == "StatefulSet":
            yield "Service", workload["spec"]["serviceName"]
        for volume in pod(workload).get("volumes", []):
            yield from volume_references(volume)
        for source in (source for each in pod(workload)["containers"] for source in each.get("envFrom", [])):
            yield from ((sources[kind], reference["name"]) for kind, reference in source.items())
        yield from (("Secret", name) for name, _ in secret_keys(workload))


def volume_references(volume: Object) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"]["name"]
    if "secret" in volume:
        yield "Secret", volume["secret"]["secretName"]
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


def selected(labels: dict[str, str]) -> list[Object]:
    templates = [(workload, workload["spec"]["template"]["metadata"]["labels"]) for workload in workloads()]
    return [workload for workload, found in templates if labels.items() <= found.items()]


@pytest.mark.parametrize("version", [OLDEST, LATEST])
@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: f"{found['kind']}-{found.get('metadata', {}).get('name')}")
def test_object_is_valid(found: Object, version: str) -> None:
    if found["kind"] == "ScaledObject":
        jsonschema.validate(found, SCALED_OBJECT)
    elif found["kind"] != "Kustomization":
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("worker", "sepal:waiting_interactive_rows:sum"), ("bulk-worker", "sepal:waiting_bulk_rows:sum")],
)
def test_scaler_query_is_the_recording_rule_for_waiting_rows(name: str, rule: str) -> None:
    query = scalers()[name]["triggers"][0]["metadata"]["query"]
    rules = yaml.safe_load((FOLDER.parent / "prometheus" / "recording.yml").read_text())["groups"][0]["rules"]
    assert query == next(each["expr"] for each in rules if each["record"] == rule)


def test_scaler_targets_an_existing_workload_without_fixed_replicas() -> None:
    assert scalers().keys() == {"worker", "bulk-worker"}
    for name, scaler in scalers().items():
        target = next(each for each in workloads() if each["metadata"]["name"] == scaler["scaleTargetRef"]["name"])
        assert target["metadata"]["name"] == name
        assert "replicas" not in target["spec"]


def environment(name: str) -> dict[str, str]:
    """Return the variables that a container gets with their values, those of the settings included."""
    own = {variable["name"]: variable["value"] for variable in container(name)["env"] if "value" in variable}
    return settings() | own


def test_each_queue_has_workers_and_bulk_ones_get_less_of_a_busy_node() -> None:
    assert environment("worker")["SEPAL_WORKER_QUEUES"] == "interactive"
    assert environment("bulk-worker")["SEPAL_WORKER_QUEUES"] == "bulk"
    assert environment("bulk-worker")["SEPAL_WORKER_NICE"] == "10"
    assert container("worker")["resources"]["requests"]["cpu"] == "1"
    assert container("bulk-worker")["resources"]["requests"]["cpu"] == "100m"


@pytest.mark.parametrize("name", ["api", "worker", "bulk-worker"])
def test_objects_are_in_a_volume_that_many_nodes_write_to(name: str) -> None:
    [claim] = of_kind("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30 > 1.1 * int(
        settings()["SEPAL_MAX_BULK_BYTES"]
    )
    mount = {"name": "objects", "mountPath": environment(name)["SEPAL_OBJECT_STORE_URL"]}
    assert mount in container(name)["volumeMounts"]
    [workload] = [each for each in workloads() if each["metadata"]["name"] == name]
    assert pod(workload)["securityContext"]["fsGroup"] == pod(workload)["securityContext"]["runAsUser"]


def test_uploads_are_spooled_to_a_disk() -> None:
    [api] = [each for each in workloads() if each["metadata"]["name"] == "api"]
    [mount] = [each for each in container("api")["volumeMounts"] if each["mountPath"] == environment("api")["TMPDIR"]]
    [spool] = [each for each in pod(api)["volumes"] if each["name"] == mount["name"]]
    assert "medium" not in spool["emptyDir"]


def test_kustomization_lists_every_file_that_needs_no_preparation() -> None:
    listed = of_kind("Kustomization")[0]["resources"]
    assert sorted([*listed, *SEPARATE]) == sorted(path.name for path in FOLDER.glob("*.yaml"))


def test_every_object_is_in_the_namespace() -> None:
    namespace = of_kind("Namespace")[0]["metadata"]["name"]
    for found in OBJECTS:
        if found["kind"] not in ("Namespace", "Kustomization"):
            assert found["metadata"]["namespace"] == namespace


def test_settings_are_documented() -> None:
    documented = set(re.findall(r"`(SEPAL_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    used = set(settings())
    for workload in workloads():
        used |= {variable["name"] for each in pod(workload)["containers"] for variable in each.get("env", [])}
    assert {name for name in used if name.startswith("SEPAL_")} <= documented


def test_every_referenced_object_exists() -> None:
    existing = {(found["kind"], found["metadata"]["name"]) for found in OBJECTS if "metadata" in found} | MADE_BY_HAND
    assert set(references()) <= existing


def test_secret_has_exactly_the_referenced_keys() -> None:
    referenced = {key for workload in workloads() for _, key in secret_keys(workload)}
    assert referenced == of_kind("Secret")[0]["stringData"].keys()


def test_target_ports_of_services_are_ports_of_pods() -> None:
    for service in of_kind("Service"):
        [workload] = selected(service["spec"]["selector"])
        names = {port["name"] for each in pod(workload)["containers"] for port in each["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_addresses_and_ports_are_those_of_services() -> None:
    ports = {found["metadata"]["name"]: found["spec"]["ports"][0]["port"] for found in of_kind("Service")}
    broker = urlsplit(of_kind("Secret")[0]["stringData"]["redis-url"])
    assert broker.port == ports[str(broker.hostname)]
    for scaler in scalers().values():
        metrics = urlsplit(scaler["triggers"][0]["metadata"]["serverAddress"])
        service, namespace = str(metrics.hostname).split(".")
        assert (metrics.port, namespace) == (ports[service], of_kind("Namespace")[0]["metadata"]["name"])
    scrapes = yaml.safe_load((FOLDER.parent / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    for [search] in (scrape["dns_sd_configs"] for scrape in scrapes):
        assert {search["port"]} == {ports[name] for name in search["names"]}


def test_policies_select_existing_pods() -> None:
    components = {
        workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] for workload in workloads()
    }
    text = (FOLDER / "network.yaml").read_text() + (FOLDER / "proxy.yaml").read_text()
    named = set(re.findall(r"app.kubernetes.io/component: ([\w-]+)", text))
    named |= {name for names in re.findall(r"values: \[([^]]+)\]", text) for name in names.split(", ")}
    assert named == components
    for budget in of_kind("PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]["matchLabels"])


@pytest.mark.parametrize("workload", workloads(), ids=lambda workload: workload["metadata"]["name"])
def test_pod_is_restricted_probed_and_pinned(workload: Object) -> None:
    spec = pod(workload)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in spec["containers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"readinessProbe", "livenessProbe"} <= each.keys()
        assert "memory" in each["resources"]["limits"]
        assert re.search(r":[^:/]+$", each["image"]), "an image without a tag can change"


def test_grace_periods_are_longer_than_drain_and_two_batches() -> None:
    grace = {each["metadata"]["name"]: pod(each).get("terminationGracePeriodSeconds", 30) for each in workloads()}
    for name in ("worker", "bulk-worker"):
        assert grace[name] > 2 * float(settings()["SEPAL_BATCH_SECONDS"])
    pause = float(container("api")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert grace["api"] > pause + float(settings()["SEPAL_DRAIN_SECONDS"])
