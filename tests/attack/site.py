"""The gateways under attack, and checks of their processes afterwards."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from shared.store.schema import Key
from tests.attack.case import On
from tests.attack.gateways import NARROW, SMALL, TOKEN
from tests.metrics import Metrics
from tests.served_models import save_model
from tests.stack import Gateway, Stack, running_stack, wait_for
from tests.tls_proxy import ADDRESS, TlsProxy, running_proxy

RSS_MARGIN_BYTES: Final = 96 * 1024 * 1024
"""The allowed growth of a gateway's memory: the allocator keeps some of it after several bodies of 8 MiB."""

_TROUBLE: Final = re.compile(r"Traceback|\[error|\[critical|Exception|\bERROR\b|Task exception|never retrieved")
_ALLOWED: Final = re.compile(r"\\n\[error\]%0aERROR")  # a request id that a case sends


class Site:
    """A stack with a gateway for each kind of cases."""

    def __init__(self, stack: Stack, gateways: dict[On, Gateway]) -> None:
        self.stack = stack
        self.gateways = gateways
        self._rss = {on: self._memory(on) for on in gateways}

    @property
    def accepted_rows(self) -> int:
        """The rows that the store has accepted."""
        return self.stack.count("accepted")

    def faults(self) -> list[str]:
        """Check logs, memory, connections and the store after the attack."""
        return [
            *(fault for log in {part.log for part in self.stack.parts} for fault in _log_faults(log)),
            *(fault for on in self.gateways for fault in self._process_faults(on)),
            *self._store_faults(),
        ]

    def connections(self, on: On) -> int:
        """Count the clients' connections of a gateway."""
        gateway = self.gateways[on]
        found = gateway.part.process.net_connections("tcp")
        return sum(each.laddr.port == gateway.port and each.status != psutil.CONN_LISTEN for each in found)

    def _process_faults(self, on: On) -> Iterator[str]:
        gateway = self.gateways[on]
        if gateway.part.popen.poll() is not None:
            yield f"the {on} gateway has ended"
            return
        try:
            wait_for(lambda: self.connections(on) == 0, "the end of all connections")
        except AssertionError:
            yield f"the {on} gateway still has {self.connections(on)} connections"
        more = self._memory(on) - self._rss[on]
        if more > RSS_MARGIN_BYTES:
            yield f"the {on} gateway keeps {more / 1e6:.0f} MB more than before"
        metric = Metrics(gateway.port).value("http_connections")
        if metric > 1:  # the one that reads the metrics
            yield f"the {on} gateway counts {metric:g} connections"

    def _store_faults(self) -> Iterator[str]:
        keys = [key.decode() for key in self.stack.redis.scan_iter(f"{Key.IDEMPOTENCY}*")]
        if keys:
            yield f"refused requests left idempotency keys: {keys[:3]}"
        accepted, final = self.stack.count("accepted"), self.stack.count("final")
        if accepted != final:
            yield f"{accepted - final} rows are not final"

    def _memory(self, on: On) -> int:
        return int(self.gateways[on].part.process.memory_info().rss)


@contextmanager
def running_site(folder: Path, model_dir: Path) -> Iterator[Site]:
    """Start a stack with all gateways, and warm them up."""
    with running_stack(folder, model_dir, operator_token=TOKEN.decode()) as (stack, default):
        gateways = {
            On.DEFAULT: default,
            On.SMALL: stack.start_gateway("api", **SMALL),
            On.NARROW: stack.start_gateway("api", **NARROW),
        }
        for gateway in gateways.values():
            gateway.wait_until_ready().predict([[5.1, 3.5, 1.4, 0.2]] * 100).raise_for_status()
            gateway.client.close()  # its idle connection would count
        yield Site(stack, gateways)


class ProxiedSite:
    """A stack with nginx in front of its gateway."""

    def __init__(self, stack: Stack, proxy: TlsProxy) -> None:
        self._stack = stack
        self.proxy = proxy

    def faults(self) -> list[str]:
        """Check the logs, and that every accepted row is final."""
        faults = [fault for part in self._stack.parts for fault in _log_faults(part.log)]
        accepted, final = self._stack.count("accepted"), self._stack.count("final")
        return faults + ([f"{accepted - final} rows are not final"] if accepted != final else [])


@contextmanager
def proxied_site(folder: Path) -> Iterator[ProxiedSite]:
    """Start a stack, and nginx in front of its gateway."""
    settings = {"operator_token": TOKEN.decode(), "trusted_proxies": ADDRESS}
    model_dir = save_model(folder / "models", "iris")
    (folder / "nginx").mkdir()
    with (
        running_stack(folder, model_dir, **settings) as (stack, gateway),
        running_proxy(folder / "nginx", gateway.port) as proxy,
    ):
        yield ProxiedSite(stack, proxy)


def _log_faults(log: Path) -> Iterator[str]:
    for number, line in enumerate(log.read_text(errors="replace").splitlines(), 1):
        if _TROUBLE.search(_ALLOWED.sub("", line)):
            yield f"{log.name}, line {number}: {line[:300]}"
        if TOKEN.decode() in line:
            yield f"{log.name}, line {number}: the operators' token"
