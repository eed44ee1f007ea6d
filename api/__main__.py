"""`python -m api`: serve HTTP with `SEPAL_API_PROCESSES` gateway processes."""

from contextlib import nullcontext
from typing import Final

import uvicorn

from api.http.server.connections import raise_file_limit
from api.http.server.protocol import HttpProtocol
from api.settings import GatewaySettings
from shared.telemetry.processes import shared_metrics_folder

_MAX_SILENCE_SECONDS: Final = 60
"""How long one of several gateway processes may be silent before uvicorn replaces it: it starts slowly on a busy
machine, and loses its waiters when it is killed."""


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    raise_file_limit()
    with shared_metrics_folder() if settings.api_processes > 1 else nullcontext():
        uvicorn.run(
            "api.app:create_app",
            factory=True,
            http=HttpProtocol,
            host=settings.api_host,
            port=settings.api_port,
            workers=settings.api_processes,
            timeout_worker_healthcheck=_MAX_SILENCE_SECONDS,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # `api.http.forwarded_headers` reads them, if SEPAL_TRUSTED_PROXIES is set
        )


if __name__ == "__main__":
    main()
