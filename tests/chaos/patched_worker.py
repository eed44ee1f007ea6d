"""A worker that kills itself on request between kombu's pop of a message and the record of its delivery.

At that moment the message is in no queue and not yet in kombu's list of unacknowledged messages. If the file that
SEPAL_CHAOS_TRIGGER names exists, the first worker that reaches this point removes the file and kills its process group.
"""

import os
import signal
from pathlib import Path
from typing import Any

from tests.chaos.clock import patch_sleep


def main() -> None:
    """Run the patched worker."""
    patch_sleep()
    from worker.__main__ import main as run_worker
    from worker.celery.transport import BrokerTransport

    trigger, deliver = Path(os.environ["SEPAL_CHAOS_TRIGGER"]), BrokerTransport._deliver

    def deliver_or_kill(transport: Any, message: Any, queue: str) -> None:
        try:
            trigger.unlink()
        except FileNotFoundError:
            deliver(transport, message, queue)
        else:
            os.killpg(0, signal.SIGKILL)

    BrokerTransport._deliver = deliver_or_kill
    run_worker()


if __name__ == "__main__":
    main()
