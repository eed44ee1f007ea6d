"""Runs a gateway or a worker without updating metrics, so that `benchmarks.against` can measure their cost.

python -m benchmarks.silent api
"""

import sys
from typing import Any

from api import __main__ as gateway
from api.telemetry.metrics import GatewayMetrics
from worker import __main__ as worker
from worker.pool.pipe import PoolPipe


def main() -> None:
    """Run a gateway (`api`) or a worker (`worker`)."""
    for name, method in vars(GatewayMetrics).items():
        if callable(method) and not name.startswith("_"):
            setattr(GatewayMetrics, name, _do_nothing)
    setattr(PoolPipe, PoolPipe.report_attempt.__name__, _do_nothing)
    {"api": gateway.main, "worker": worker.main}[sys.argv[1]]()


def _do_nothing(*_: Any, **__: Any) -> None:
    pass


if __name__ == "__main__":
    main()
