"""Reads metrics as Prometheus does."""

from collections.abc import Iterable

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """What was exposed at one moment, by one process or by several."""

    def __init__(self, *ports: int) -> None:
        self.texts = [httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text for port in ports]
        self.families = [family for text in self.texts for family in text_string_to_metric_families(text)]

    def of_ours(self) -> Iterable[Metric]:
        """Families that are not the client library's own."""
        return [family for family in self.families if family.name.startswith("sepal_")]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        samples = [sample for family in self.families for sample in family.samples if sample.name == f"sepal_{name}"]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
