"""`python -m worker.health`: exit 0 if a worker on this host says that it can take a batch."""

import socket
import sys

from redis import Redis
from redis.exceptions import RedisError

from shared.record import WORKERS_KEY
from worker.settings import WorkerSettings

_TIMEOUT_SECONDS = 4


def main() -> None:
    """Look into the store, where the gateways look too."""
    url = WorkerSettings().redis_url.get_secret_value()
    host = f"@{socket.gethostname()}".encode()
    try:
        with Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS, retry=None) as client:
            seconds = int(client.time()[0])
            announced = [value.split() for name, value in client.hgetall(WORKERS_KEY).items() if name.endswith(host)]
    except RedisError as error:
        sys.exit(f"the store cannot be reached: {error}")
    if not any(int(until_ms) / 1000 > seconds and int(processes) > 0 for until_ms, processes, *_ in announced):
        sys.exit("no worker on this host announces a loaded pool process")


if __name__ == "__main__":
    main()
