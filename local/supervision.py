"""Writes supervisord's configuration: the programs, their start and stop order, and the conditions for a restart.

The terminal shows the welcome message and the reports of programs that exited. Each program's output goes to its log.

Groups of programs stop one after the other, in reverse order of their priorities: first the gateway and Flower, then
the workers, then the broker, because the others need it until they have stopped.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, Literal

from local import broker, exits
from local.logs import SUPERVISOR, log_path
from local.settings import LocalSettings
from local.welcome import SHOW_PASSWORD
from shared.names import Queue

_FLOWER_CONFIGURATION: Final = Path(__file__).parent.parent / "deploy" / "flower" / "flowerconfig.py"

_BULK_NICE: Final = "10"
"""Gives the bulk worker a tenth of the interactive worker's share of CPU time (sched(7))."""

_TERMINAL: Final = "/dev/fd/1"
_LOG_BYTES: Final = 20_000_000  # of each log; one rotated log is kept

_SUPERVISOR_SECTION = """\
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

# SIGTERM is sent only to the program, because only the worker may stop its pool processes; SIGKILL is sent to the
# process group. A program that exits is restarted, unless it exits within a second of its start and of three restarts.
_PROGRAM_SECTION = """
[program:{name}]
command = {command}
environment = {environment}
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

_GROUP_SECTION = """
[group:{name}]
programs = {programs}
priority = {priority}
"""

# supervisord starts event listeners first and stops them last.
_LISTENER_SECTION = """
[eventlistener:exits]
command = {command}
events = {events}
buffer_size = 100
stdout_logfile = NONE
stderr_logfile = {terminal}
stderr_logfile_maxbytes = 0
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process."""

    name: str
    group: Literal["brokers", "workers", "frontends"]
    """Programs of a group stop together; supervisord takes a second for each group."""
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    """Variables added to the supervisor's environment."""
    restart: bool = True
    stop_seconds: int = 10
    writes_to_terminal: bool = False
    """Whether its output goes to the terminal instead of a log."""


def list_programs(settings: LocalSettings) -> list[Program]:
    """List the programs that `make run` starts, in start order."""
    python = sys.executable
    local_broker = []
    if not settings.redis_url:
        settings.broker_dir.mkdir(parents=True, exist_ok=True)
        local_broker = [Program("broker", "brokers", broker.command(settings.redis_port, settings.broker_dir))]
    flower = ["flower", f"--conf={_FLOWER_CONFIGURATION}", "--address=127.0.0.1", f"--port={settings.flower_port}"]
    options = [] if "flower_password" in settings.model_fields_set else [SHOW_PASSWORD]
    return [
        *local_broker,
        *_worker_programs(settings),
        Program("gateway", "frontends", [python, "-m", "api"], stop_seconds=15),
        Program("flower", "frontends", [python, "-m", "celery", *flower]),
        Program(
            "welcome", "frontends", [python, "-m", "local.welcome", *options], restart=False, writes_to_terminal=True
        ),
    ]


def _worker_programs(settings: LocalSettings) -> list[Program]:
    """List the workers: one for each queue, or one for both."""

    def worker(name: str, queues: str, port: int, **environment: str) -> Program:
        environment |= {"SEPAL_WORKER_QUEUES": queues, "SEPAL_WORKER_HTTP_PORT": str(port)}
        return Program(name, "workers", [sys.executable, "-m", "worker"], environment, stop_seconds=30)

    if settings.single_worker:
        return [worker("worker", f"{Queue.INTERACTIVE},{Queue.BULK}", settings.worker_http_port)]
    return [
        worker("worker", Queue.INTERACTIVE, settings.worker_http_port),
        worker("bulk-worker", Queue.BULK, settings.bulk_worker_http_port, SEPAL_WORKER_NICE=_BULK_NICE),
    ]


def format_configuration(programs: Sequence[Program], state_dir: Path) -> str:
    """Return the content of supervisord's configuration file."""
    folder = state_dir.absolute()
    may_exit = [program.name for program in programs if not program.restart]
    listener = [sys.executable, "-m", exits.__name__, str(state_dir), *may_exit]
    return "".join(
        [
            _SUPERVISOR_SECTION.format(
                state=folder, user=os.getuid(), log=log_path(folder, SUPERVISOR), log_bytes=_LOG_BYTES
            ),
            *(_program_section(program, priority, folder) for priority, program in enumerate(programs)),
            *(
                _GROUP_SECTION.format(
                    name=group, programs=",".join(program.name for program in members), priority=priority
                )
                for priority, (group, members) in enumerate(groupby(programs, attrgetter("group")))
            ),
            _LISTENER_SECTION.format(
                command=_quote_command(listener), events=",".join(exits.EVENTS), terminal=_TERMINAL
            ),
        ]
    )


def _program_section(program: Program, priority: int, folder: Path) -> str:
    return _PROGRAM_SECTION.format(
        name=program.name,
        command=_quote_command(program.command),
        environment=",".join(f'{name}="{value}"' for name, value in program.environment.items()),
        priority=priority,
        restart="true" if program.restart else "false",
        startsecs=1 if program.restart else 0,
        stopwaitsecs=program.stop_seconds,
        log=_TERMINAL if program.writes_to_terminal else log_path(folder, program.name),
        log_bytes=0 if program.writes_to_terminal else _LOG_BYTES,
    )


def _quote_command(command: Sequence[str]) -> str:
    return shlex.join(command).replace("%", "%%")
