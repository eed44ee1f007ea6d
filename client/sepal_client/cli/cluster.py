"""`sepal model` and `sepal status`: the served model, and the status of the service."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from sepal_client.cli import report
from sepal_client.cli.exits import ExitCode
from sepal_client.cli.quantities import format_bytes, format_count, format_duration
from sepal_client.cli.session import PATIENT_RETRY_SECONDS, QUICK_RETRY_SECONDS, Session
from sepal_client.cli.terminal import BOLD, GREEN, RED, align_table, apply_style, escape_controls, print_lines

if TYPE_CHECKING:
    from sepal_client import Sepal
    from sepal_client.model import Column, Model
    from sepal_client.status import BulkStatus, QueueStatus, ServiceStatus

STATUS_EXAMPLES: Final = """\
Examples:
  sepal status --watch
  sepal status --json | jq .queues.bulk.backlog_rows
  until sepal status > /dev/null; do sleep 1; done"""

_SHOWN_VALUES: Final = 6  # values of a column
_DIGEST_LENGTH: Final = 19  # characters: `sha256:` and 12 digits
_REFRESH_SECONDS: Final = 1.0  # a gateway reads the status of the service once a second

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second, until Ctrl-C.")]


def model(session: Session) -> None:
    """Show the served model: its columns, outputs and classes.

    --json prints the whole model card.
    """
    with session.connect() as sepal:
        card = sepal.model()
    report.print_json(card.raw, indent=2) if session.as_json else print_lines(describe_model(card))


def status(session: Session, watch: Watch = False) -> None:
    """Show the workers, the backlog and the rates of the service.

    Without --watch, the exit code is 4 if the service is not ready.
    """
    with session.connect(retry_for=PATIENT_RETRY_SECONDS if watch else QUICK_RETRY_SECONDS) as sepal:
        if watch:
            _watch_status(session, sepal)
        now = sepal.status()
    report.print_json(now.raw) if session.as_json else print_lines(describe_status(now))
    if not now.ready:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _watch_status(session: Session, sepal: "Sepal") -> NoReturn:
    if session.as_json or not sys.stdout.isatty():
        while True:
            now = sepal.status()
            report.print_json(now.raw) if session.as_json else print_lines([*describe_status(now), ""])
            time.sleep(_REFRESH_SECONDS)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi("\n".join(describe_status(sepal.status()))), refresh=True)
            time.sleep(_REFRESH_SECONDS)


def describe_status(service_status: "ServiceStatus") -> list[str]:
    """Return the lines of `sepal status`."""
    ready = (
        apply_style("ready", f"{BOLD};{GREEN}") if service_status.ready else apply_style("not ready", f"{BOLD};{RED}")
    )
    ref = service_status.model
    served = "no model" if ref is None else f"{ref.name} {ref.version}  {ref.digest[:_DIGEST_LENGTH]}"
    known = {
        "gateway": service_status.gateways,
        "worker": service_status.workers,
        "dead letter": service_status.dead_letters or None,
    }
    numbers = [format_count(number, name) for name, number in known.items() if number is not None]
    head = "  ".join([f"{ready}  {escape_controls(served)}", *numbers])
    reasons = [
        f"  {escape_controls(reason.code)}: {escape_controls(reason.detail)}" for reason in service_status.reasons
    ]
    titles = ("QUEUE", "PROCESSES", "BACKLOG", "OLDEST", "ROWS/S", "LEFT")
    table = [*zip(*[(name, *_queue_cells(queue)) for name, queue in service_status.queues.items()], strict=True)]
    filled = [i for i, cells in enumerate(table) if any(cells)]
    rows = [*zip(*[table[i] for i in filled], strict=True)]
    lines = align_table([titles[i] for i in filled], rows, right_columns=frozenset(range(1, len(filled))))
    return [head, *reasons, "", *lines, *_bulk_lines(service_status.bulk_predictions)]


def _bulk_lines(bulk: "BulkStatus") -> list[str]:
    """Return a line on bulk predictions, if there are any."""
    if not bulk.open and not bulk.stored_bytes:
        return []
    age = f", the oldest {format_duration(bulk.oldest_seconds)} old" if bulk.oldest_seconds else ""
    return ["", f"files  {bulk.open or 0:,} not final{age}; {format_bytes(bulk.stored_bytes or 0)} stored"]


def _queue_cells(queue: "QueueStatus") -> tuple[str, ...]:
    return (
        str(queue.pool_processes),
        f"{queue.backlog_rows:,}",
        "" if not queue.oldest_seconds else format_duration(queue.oldest_seconds),
        "" if queue.rows_per_second is None else f"{queue.rows_per_second:,.0f}",
        "" if queue.seconds_left is None else format_duration(queue.seconds_left),
    )


def describe_model(card: "Model") -> list[str]:
    """Return the lines of `sepal model`."""
    lines = [
        f"{apply_style(escape_controls(f'{card.name} {card.version}'), BOLD)}  {card.digest[:_DIGEST_LENGTH]}",
        *_training_lines(card.raw),
    ]
    if card.kind == "text":
        lines += ["", "A row is a text."]
    else:
        seen = [column.get("seen", {}) for column in card.raw["input"]["columns"]]
        rows = [_column_cells(column, values) for column, values in zip(card.columns, seen, strict=True)]
        lines += ["", *align_table(("COLUMN", "TYPE", "MAY BE MISSING", "IN TRAINING"), rows)]
    lines += ["", f"outputs  {', '.join(card.outputs)}"]
    lines += [f"classes  {escape_controls(each)}" for each in _class_lines(card.classes or ())]
    return [*lines, f"example  {escape_controls(_example_command(card))}"]


def _training_lines(raw: Mapping[str, Any]) -> list[str]:
    """Return lines with the training data and the metrics of a model card."""
    metrics = [f"{name} {each['mean']:.3g} ± {each['std']:.2g}" for name, each in raw.get("metrics", {}).items()]
    data = raw.get("data")
    origin = [] if data is None else [f"{format_count(data['rows'], 'row')} of {data['source']}"]
    return [escape_controls(line) for line in (*origin, "  ".join(metrics)) if line]


def _column_cells(column: "Column", statistics: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (column.name, column.type, "yes" if column.nullable else "", _format_training_values(column, statistics))


def _format_training_values(column: "Column", statistics: Mapping[str, Any]) -> str:
    if column.categories is not None:
        return _join_first_values(column.categories)
    if "minimum" in statistics:
        return f"{statistics['minimum']} to {statistics['maximum']}"
    return _join_first_values([value for value, _ in statistics.get("counts", ())])


def _join_first_values(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN_VALUES]))
    return f"{shown}, …" if len(values) > _SHOWN_VALUES else shown


def _class_lines(classes: Sequence[Any]) -> list[str]:
    """Return a line with the classes of each target."""
    if classes and isinstance(classes[0], (list, tuple)):
        return [_join_first_values(each) for each in classes]
    return [_join_first_values(classes)] if classes else []


def _example_command(card: "Model") -> str:
    row = card.example[0]
    if card.kind == "text":
        return shlex.join(["sepal", "predict", "--text", str(row)])
    return shlex.join(["sepal", "predict", *("" if value is None else str(value) for value in row)])
