"""Writes supervisord's configuration: the parts, the order they start and stop in, what happens when one dies.

On the terminal is what a person needs: the welcome, and what goes wrong. What the parts write is in a file each.

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

from local import broker, exits
from local.logs import SUPERVISOR, log_file
from local.settings import LocalSettings
from local.welcome import WITH_PASSWORD

_FLOWER_CONFIGURATION: Final = Path(__file__).parent.parent / "deploy" / "flower" / "flowerconfig.py"

_TERMINAL: Final = "/dev/fd/1"
_LOG_BYTES: Final = 20_000_000  # of each log; the one before is kept as well

_SUPERVISOR = """\
[supervisord]
user = {user}
nodaemon = true
silent = true
logfile = {log}
logfile_maxbytes = {log_bytes}
logfile_backups = 1
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
stdout_logfile = {log}
stdout_logfile_maxbytes = {log_bytes}
stdout_logfile_backups = 1
"""

# Started first and stopped last, as supervisord has it for listeners.
_LISTENER = """
[eventlistener:exits]
command = {command}
events = {events}
buffer_size = 100
stdout_logfile = NONE
stderr_logfile = {terminal}
stderr_logfile_maxbytes = 0
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One supervised process."""

    name: str
    command: Sequence[str]
    restart: bool = True
    stop_seconds: int = 10
    is_for_the_person: bool = False
    """Whether what it writes goes to the terminal, and not to a file."""


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
        Part("welcome", [python, "-m", "local.welcome", *drawn], restart=False, is_for_the_person=True),
    ]


def configuration(parts: Sequence[Part], state_dir: Path) -> str:
    """Write the file that supervisord reads."""
    folder = state_dir.absolute()
    may_end = [part.name for part in parts if not part.restart]
    listener = [sys.executable, "-m", exits.__name__, str(state_dir), *may_end]
    return "".join(
        [
            _SUPERVISOR.format(state=folder, user=os.getuid(), log=log_file(folder, SUPERVISOR), log_bytes=_LOG_BYTES),
            *(_program(part, priority, folder) for priority, part in enumerate(parts)),
            _LISTENER.format(command=_quoted(listener), events=",".join(exits.EVENTS), terminal=_TERMINAL),
        ]
    )


def _program(part: Part, priority: int, folder: Path) -> str:
    return _PROGRAM.format(
        name=part.name,
        command=_quoted(part.command),
        priority=priority,
        restart="true" if part.restart else "false",
        startsecs=1 if part.restart else 0,
        stopwaitsecs=part.stop_seconds,
        log=_TERMINAL if part.is_for_the_person else log_file(folder, part.name),
        log_bytes=0 if part.is_for_the_person else _LOG_BYTES,
    )


def _quoted(command: Sequence[str]) -> str:
    return shlex.join(command).replace("%", "%%")
