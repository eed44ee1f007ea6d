"""`sepal results`, `watch`, `cancel` and `list`: predictions by their ids."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from sepal_client.cli import interrupt, report
from sepal_client.cli.bar import ProgressBar
from sepal_client.cli.delivery import deliver, summarize
from sepal_client.cli.quantities import format_duration, format_rows
from sepal_client.cli.session import PATIENT_RETRY_SECONDS, Session
from sepal_client.cli.target import Output, To, output_target
from sepal_client.cli.terminal import align_table, print_lines
from sepal_client.errors import RequestRefused
from sepal_client.progress import Progress, State

RESULTS_EXAMPLES: Final = """\
Examples:
  sepal results AaIG… -o scored.parquet
  sepal results AaIG… --to ndjson | head
  sepal results AaIG… --partial --limit 100"""
LIST_EXAMPLES: Final = """\
Examples:
  sepal list --state running --state queued
  sepal list --json | jq -r 'select(.status == "failed") | .id'"""

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the prediction.")]
Offset = Annotated[int | None, typer.Option("--offset", metavar="ROWS", min=0, help="Skip this many rows.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="ROWS", min=0, help="Write at most this many rows.")]
Partial = Annotated[
    bool, typer.Option("--partial", help="Do not wait: write the rows that are done, up to the first one that is not.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, even on a terminal.")]
States = Annotated[
    list[State] | None, typer.Option("--state", help="Only predictions in this state; several states may be given.")
]


def results(
    session: Session,
    prediction_id: Id,
    output: Output = None,
    to: To = None,
    offset: Offset = None,
    limit: Limit = None,
    partial: Partial = False,
    quiet: Quiet = False,
) -> None:
    """Fetch the result of a prediction; wait until it is final.

    The result is written to standard output as CSV, or to the file given with -o; an incomplete file is deleted. The
    results of "sepal predict" and other small predictions are JSON.
    """
    is_json = session.as_json and output is None
    target = output_target(output, to or ("json" if is_json else None))
    with session.connect(retry_for=PATIENT_RETRY_SECONDS) as sepal:
        prediction = sepal.prediction(prediction_id)
        if partial:
            prediction.download(target.destination, format=target.format, offset=offset, limit=limit, partial=True)
            return
        bar = ProgressBar(session.address, is_quiet=quiet)
        try:
            final = deliver(session, prediction, target, bar, is_submitted_here=False, offset=offset, limit=limit)
        except RequestRefused as error:  # of `POST /predict`, whose result is JSON
            if error.code != "not-acceptable" or target.path is not None or to is not None:
                raise
            final = deliver(session, prediction, output_target(None, "json"), bar, is_submitted_here=False)
    if offset is None and limit is None:
        summarize(session, final, target, bar)


def watch(session: Session, prediction_id: Id) -> None:
    """Show the progress of a prediction until it is final.

    With --json, each change is printed as a line to standard output.
    """
    bar = ProgressBar(session.address, is_quiet=session.as_json)
    now = None
    with session.connect(retry_for=PATIENT_RETRY_SECONDS) as sepal:
        prediction = sepal.prediction(prediction_id)
        try:
            with bar:
                for now in prediction.progress():
                    _show_change(session, now, bar)
        except KeyboardInterrupt:
            interrupt.exit_while_running(session, prediction_id, ["watch", prediction_id])
    assert now is not None, "a prediction has an end"
    if not session.as_json:
        print_lines([describe_progress(now)])
    now.raise_if_ended()


def cancel(session: Session, prediction_id: Id) -> None:
    """Cancel a prediction that is not final."""
    with session.connect() as sepal:
        now = sepal.prediction(prediction_id).cancel()
    report.print_json(progress_body(now)) if session.as_json else print_lines([describe_progress(now)])


def list_predictions(session: Session, state: States = None) -> None:
    """List your predictions of files, the latest first.

    These were submitted with your API key or, if you have none, from your IP address.
    """
    with session.connect() as sepal:
        found = sepal.predictions(states=state or ())
        if session.as_json:
            for now in found:
                report.print_json(progress_body(now))
            return
        rows = [_progress_cells(now) for now in found]
    print_lines(
        align_table(("ID", "STATE", "ROWS", "DONE", "BAD", "LEFT"), rows, right_columns=frozenset({2, 3, 4, 5}))
    )


def describe_progress(progress: Progress) -> str:
    """Return one line with the state of a prediction and its rows."""
    if not progress.rows_total:
        return progress.state.value
    done = (
        format_rows(progress.rows_total)
        if progress.state is State.SUCCEEDED
        else f"{progress.rows_done:,} of {format_rows(progress.rows_total)}"
    )
    return f"{progress.state.value}: {done}" + (f", {progress.rows_bad:,} bad" if progress.rows_bad else "")


def progress_body(progress: Progress) -> Mapping[str, Any]:
    """Return the progress of a prediction as the gateway writes it."""
    error = {"error": report.problem_body(progress.error)} if progress.error is not None else {}
    return {
        "id": progress.id,
        "status": progress.state.value,
        "rows": {"done": progress.rows_done, "total": progress.rows_total, "bad": progress.rows_bad},
        "position": progress.position,
        "rows_per_second": progress.rows_per_second,
        "seconds_left": progress.seconds_left,
        **error,
    }


def _show_change(session: Session, progress: Progress, bar: ProgressBar) -> None:
    if session.as_json:
        report.print_json(progress_body(progress))
    else:
        bar.show_progress(progress)


def _progress_cells(progress: Progress) -> tuple[str, ...]:
    share = f"{progress.rows_done / progress.rows_total:.0%}" if progress.rows_total else ""
    left = "" if progress.seconds_left is None or progress.is_final else format_duration(progress.seconds_left)
    return (progress.id, progress.state.value, f"{progress.rows_total:,}", share, f"{progress.rows_bad:,}", left)
