"""The same processes, counting nothing: what metrics cost is the difference to them.

python -m benchmarks.silent api
"""

import sys
from typing import Any

from api import __main__ as gateway
from api.metrics import GatewayMetrics
from worker import __main__ as worker
from worker.reports import Reports


def main() -> None:
    """Run a gateway (`api`) or a worker (`worker`)."""
    for measured in (GatewayMetrics, Reports):
        for name, method in vars(measured).items():
            if callable(method) and not name.startswith("_") and name != "read":
                setattr(measured, name, _nothing)
    {"api": gateway.main, "worker": worker.main}[sys.argv[1]]()


def _nothing(*_: Any, **__: Any) -> None:
    pass


if __name__ == "__main__":
    main()
