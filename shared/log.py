"""Configures logging: one event per line, with fields, as text for a terminal or JSON for containers."""

import logging
import re
from io import StringIO
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

# Celery's two lines per task take as much CPU time as the pipeline; Flower gets the same information from events.
_QUIET_LOGGERS = ("celery.worker.strategy", "celery.app.trace")

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INDENT: Final = "    "


def configure_logging(as_json: bool, level: str) -> None:
    """Write the events of structlog and of the standard library's loggers to stderr, in one format."""
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            _escape_controls,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=_write_indented_traceback),
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape line breaks and other control characters, so that a string from a client cannot forge a log line."""
    return {name: value if name == "exc_info" else _escape_value(value) for name, value in event.items()}


def _escape_value(value: Any) -> Any:
    text = value if isinstance(value, str) else repr(value)
    return _escape_text(text) if _CONTROL_CHARACTERS.search(text) else value


def _escape_text(text: str) -> str:
    return _CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], text)


def _write_indented_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback with every line indented, because the message of an exception may contain line breaks."""
    written = StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    stream.write("\n" + "\n".join(_INDENT + _escape_text(line) for line in written.getvalue().strip("\n").split("\n")))
