"""Parses metrics as Prometheus does."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import patience
from tests.stack import Gateway, wait_for


class Metrics:
    """The metrics of one or several processes at one moment."""

    def __init__(self, *ports: int) -> None:
        urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
        self.texts = [httpx.get(url, timeout=patience(), verify=False).raise_for_status().text for url in urls]
        self.families = [family for text in self.texts for family in text_string_to_metric_families(text)]

    def value(self, name: str, /, **labels: str) -> float:
        """Return the sum of the samples with these labels."""
        samples = [sample for family in self.families for sample in family.samples if sample.name == f"sepal_{name}"]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def wait_for_gathered(gateway: Gateway, n_rows: int) -> None:
    """Wait until the open batches of the gateway contain so many rows."""
    wait_for(lambda: Metrics(gateway.port).value("gathering_rows") == n_rows, f"{n_rows} gathered rows")
