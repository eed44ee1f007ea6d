"""A worker that can be told to die in the worst of all instants: it has taken a message, and nobody has noted it.

The instant is when kombu hands over what it popped from a queue, before anything of Sepal or Celery sees it. While the
file that SEPAL_CHAOS_TRIGGER names is there, the first worker that reaches it takes the file away and kills its group.
"""

import os
import signal
from pathlib import Path
from typing import Any

from tests.chaos.clock import mend_sleep


def main() -> None:
    """Become a worker."""
    mend_sleep()
    from worker.__main__ import main as run_worker
    from worker.celery.transport import BrokerTransport

    trigger, deliver = Path(os.environ["SEPAL_CHAOS_TRIGGER"]), BrokerTransport._deliver

    def deliver_or_die(transport: Any, message: Any, queue: str) -> None:
        try:
            trigger.unlink()
        except FileNotFoundError:
            deliver(transport, message, queue)
        else:
            os.killpg(0, signal.SIGKILL)

    BrokerTransport._deliver = deliver_or_die
    run_worker()


if __name__ == "__main__":
    main()
