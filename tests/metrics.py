"""Reads metrics as Prometheus does."""

from collections.abc import Iterable

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import patience
from tests.stack import Gateway, wait_for


class Metrics:
    """What was exposed at one moment, by one process or by several."""

    def __init__(self, *ports: int) -> None:
        urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
        self.texts = [httpx.get(url, timeout=patience()).raise_for_status().text for url in urls]
        self.families = [family for text in self.texts for family in text_string_to_metric_families(text)]

    def of_ours(self) -> Iterable[Metric]:
        """Families that are not the client library's own."""
        return [family for family in self.families if family.name.startswith("sepal_")]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        samples = [sample for family in self.families for sample in family.samples if sample.name == f"sepal_{name}"]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def wait_for_gathered(gateway: Gateway, n_rows: int) -> None:
    """Wait until so many rows are in the gateway, and wait for their batch to leave."""
    wait_for(lambda: Metrics(gateway.port).value("gathering_rows") == n_rows, f"{n_rows} gathered rows")
