"""A worker that can be told to die in the worst of all instants: it has taken a message, and nobody has noted it.

The instant is when kombu hands over what it popped from a queue, before anything of Sepal or Celery sees it. While the
file that SEPAL_CHAOS_TRIGGER names is there, the first worker that reaches it takes the file away and kills its group.
"""

import os
import signal
from pathlib import Path
from typing import Any

from worker.__main__ import main
from worker.transport import Transport


class Doomed:
    """Stands in for the transport's own way to deliver a message."""

    def __init__(self, trigger: Path) -> None:
        self._trigger = trigger
        self._deliver = Transport._deliver

    def deliver(self, transport: Any, message: Any, queue: str) -> None:
        try:
            self._trigger.unlink()
        except FileNotFoundError:
            self._deliver(transport, message, queue)
        else:
            os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    doomed = Doomed(Path(os.environ["SEPAL_CHAOS_TRIGGER"]))
    Transport._deliver = lambda transport, message, queue: doomed.deliver(transport, message, queue)
    main()
