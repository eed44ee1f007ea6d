"""`python -m api`: serve HTTP with `SEPAL_API_PROCESSES` gateway processes."""

from contextlib import nullcontext

import uvicorn

from api.http.protocol import HttpProtocol
from api.settings import GatewaySettings
from shared.telemetry.processes import counted_together


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    with counted_together() if settings.api_processes > 1 else nullcontext():
        uvicorn.run(
            "api.app:create_app",
            factory=True,
            http=HttpProtocol,
            host=settings.api_host,
            port=settings.api_port,
            workers=settings.api_processes,
            access_log=False,
            reset_contextvars=True,  # otherwise a pipelined request is logged under the previous request's id
            log_config=None,
            server_header=False,
            # Longer than users pause and proxies keep a connection. With uvicorn's 5 s, requests were sent on
            # connections that were being closed, and were lost.
            timeout_keep_alive=75,
            proxy_headers=False,  # `api.http.forwarded` reads them, if SEPAL_TRUSTED_PROXIES is set
        )


if __name__ == "__main__":
    main()
