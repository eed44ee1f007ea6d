"""Writes supervisord's configuration: the parts, the order they start and stop in, what happens when one dies.

Parts start in the order of their priorities and stop in the reverse one, each waiting for the one before, so that
the gateway and the worker can still reach the broker while they finish.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.local import broker
from shared.local.ready import WITH_PASSWORD
from shared.local.settings import LocalSettings

_FLOWER_CONFIGURATION: Final = Path(__file__).parent.parent / "flowerconfig.py"

_SUPERVISOR = """\
[supervisord]
user = {user}
nodaemon = true
silent = false
logfile = /dev/null
logfile_maxbytes = 0
pidfile = {state}/supervisord.pid
childlogdir = {state}
"""

# The group is killed, after the part itself was asked to stop: a pool process must not be told to stop by anybody
# but its worker. Whatever dies is started again, at once; three deaths within a second of starting are a crash loop.
_PROGRAM = """
[program:{name}]
command = {command}
priority = {priority}
autorestart = {restart}
startsecs = {startsecs}
startretries = 3
stopsignal = TERM
stopwaitsecs = {stopwaitsecs}
stopasgroup = false
killasgroup = true
redirect_stderr = true
stdout_logfile = /dev/fd/1
stdout_logfile_maxbytes = 0
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One supervised process."""

    name: str
    command: Sequence[str]
    restart: bool = True
    stop_seconds: int = 10


def parts(settings: LocalSettings) -> list[Part]:
    """List what `make run` starts, in this order."""
    python = sys.executable
    own_broker = []
    if not settings.redis_url:
        settings.broker_dir.mkdir(parents=True, exist_ok=True)
        own_broker = [Part("broker", broker.command(settings.redis_port, settings.broker_dir))]
    flower = ["flower", f"--conf={_FLOWER_CONFIGURATION}", "--address=127.0.0.1", f"--port={settings.flower_port}"]
    drawn = [] if "flower_password" in settings.model_fields_set else [WITH_PASSWORD]
    return [
        *own_broker,
        Part("worker", [python, "-m", "worker"], stop_seconds=30),
        Part("gateway", [python, "-m", "api"], stop_seconds=15),
        Part("flower", [python, "-m", "celery", *flower]),
        Part("ready", [python, "-m", "shared.local.ready", *drawn], restart=False),
    ]


def configuration(parts: Sequence[Part], state_dir: Path) -> str:
    """Write the file that supervisord reads."""
    return _SUPERVISOR.format(state=state_dir.absolute(), user=os.getuid()) + "".join(
        _PROGRAM.format(
            name=part.name,
            command=shlex.join(part.command).replace("%", "%%"),
            priority=priority,
            restart="true" if part.restart else "false",
            startsecs=1 if part.restart else 0,
            stopwaitsecs=part.stop_seconds,
        )
        for priority, part in enumerate(parts)
    )
