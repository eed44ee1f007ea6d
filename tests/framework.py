"""`python -m tests.framework`: a gateway without the hot path; FastAPI handles every request."""

import uvicorn

from api.app import create_hot_path
from api.settings import GatewaySettings

if __name__ == "__main__":
    settings = GatewaySettings()
    uvicorn.run(create_hot_path(settings).framework, host=settings.api_host, port=settings.api_port, log_config=None)
