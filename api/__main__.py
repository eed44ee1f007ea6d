"""`python -m api`: serve HTTP with as many gateway processes as the settings say."""

from contextlib import nullcontext

import uvicorn

from api.http.protocol import HttpProtocol
from api.settings import GatewaySettings
from shared.telemetry.processes import counted_together


def main() -> None:
    """Run the gateway until it is told to stop."""
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
            reset_contextvars=True,  # or a pipelined request would be logged under the id of the one before
            log_config=None,
            server_header=False,
            # Longer than people think and proxies keep: with uvicorn's 5 s, requests were lost to a closing connection.
            timeout_keep_alive=75,
            proxy_headers=False,  # nothing here asks who the client is, and looking costs 3 % of a request
        )


if __name__ == "__main__":
    main()
