"""Runs the faults between clients and gateways on one site."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.chaos.clients.experiment import ClientExperiment
from tests.chaos.clients.faults import ClientFault
from tests.chaos.clients.results import ClientResult
from tests.chaos.clients.site import ClientSite, running_client_site
from tests.chaos.clients.trial import Connect, client_of
from tests.preloaded import start as preloaded
from tests.stack import wait_for

INJECTIONS: Final = 200
_PRELOADED: Final = ("api.__main__", "api.app", "api.encode", "sklearn.pipeline", "worker.app")


def run_client_fault(
    site: ClientSite,
    fault: ClientFault,
    *,
    seed: int,
    first: int = 0,
    injections: int = INJECTIONS,
    connect: Connect = client_of,
) -> ClientResult:
    """Strike operations of clients, one after the other.

    Args:
        site: without any fault, and so again at the end.
        fault: the fault.
        seed: of the moments and all that is random.
        first: the number of the first injection; each can be repeated alone.
        injections: how many.
        connect: makes the clients.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sepal-chaos-") as folder:
        experiment = ClientExperiment(site, fault, Path(folder), seed, connect)
        for number in range(first, first + injections):
            experiment.inject(number)
        verdict = experiment.judge()
    return ClientResult(fault.name, fault.title, verdict, round(time.monotonic() - began, 1))


@contextmanager
def quick_client_site() -> Iterator[ClientSite]:
    """Start a site whose processes are preloaded, so that a killed gateway is soon replaced."""
    with (
        patch.dict(os.environ),
        preloaded.running_server(*_PRELOADED) as command,
        tempfile.TemporaryDirectory(prefix="sepal-chaos-") as folder,
    ):
        preloaded.publish(command)
        wait_for(Path(command[-1]).exists, "the server of preloaded processes")
        with running_client_site(Path(folder)) as site:
            yield site
