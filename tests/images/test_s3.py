"""The system of docker-compose.yml with its S3 server as the object store."""

from collections.abc import Iterator

import pytest

from benchmarks.scaling.compose_project import ComposeProject
from tests.own_code import IRIS
from tests.patience import longest_test
from tests.stack import Client, free_port, wait_for

pytestmark = [pytest.mark.images, pytest.mark.timeout(2 * longest_test())]


@pytest.fixture
def client() -> Iterator[Client]:
    api_port, flower_port = free_port(), free_port()
    environment = {
        "COMPOSE_PROFILES": "s3",
        "SEPAL_OBJECT_STORE_URL": "s3://sepal",
        "SEPAL_API_PORT": str(api_port),
        "SEPAL_FLOWER_PORT": str(flower_port),
    }
    client = Client(api_port)
    with client.client, ComposeProject(n_workers=1, environment=environment) as composed:
        yield client
        containers = composed.containers("api") + composed.containers("bulk-worker")
        for container in containers:
            assert "/objects" not in composed.compose(
                "exec", "-T", service_of(container), "find", "/objects", "-type", "f"
            )


def service_of(container: dict[str, dict[str, dict[str, str]]]) -> str:
    return container["Config"]["Labels"]["com.docker.compose.service"]


def test_file_is_scored_with_its_objects_in_s3(client: Client) -> None:
    wait_for(client.is_ready, "a ready gateway")
    content = f"{','.join(IRIS.feature_names)}\n" + "4.8,3,1.4,0.3\n2,1,3.2,1.1\n" * 10_000
    response = client.client.post("/predictions", content=content, headers={"Content-Type": "text/csv"})
    assert response.status_code == 202, response.text
    location = response.headers["Location"]
    client.poll(location)
    result = client.client.get(location, headers={"Accept": "text/csv"})
    assert [line.partition(",")[0] for line in result.text.splitlines()] == ["prediction", *["0", "1"] * 10_000]
