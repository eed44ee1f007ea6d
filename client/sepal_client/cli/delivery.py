"""Waits for a prediction, writes its result, and reports the end on standard error."""

from typing import TYPE_CHECKING

from sepal_client.cli import interrupt, report
from sepal_client.cli.bar import ProgressBar
from sepal_client.cli.quantities import format_duration, format_rows
from sepal_client.cli.session import Session
from sepal_client.cli.target import Target
from sepal_client.cli.terminal import print_lines
from sepal_client.progress import Progress

if TYPE_CHECKING:
    from sepal_client import Prediction


def deliver(
    session: Session,
    prediction: "Prediction",
    target: Target,
    bar: ProgressBar,
    *,
    is_submitted_here: bool,
    offset: int | None = None,
    limit: int | None = None,
) -> Progress:
    """Wait for a prediction, and write its result.

    Args:
        session: of the command.
        prediction: the prediction to fetch.
        target: where the result is written.
        bar: shows progress.
        is_submitted_here: whether this command submitted the prediction: then Ctrl-C offers to cancel it.
        offset: the number of rows to skip.
        limit: the greatest number of rows to write.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
    """
    final: Progress | None = None
    try:
        with bar:
            final = follow(prediction, bar)
            if target.is_terminal:
                bar.stop()
            prediction.download(
                target.destination, format=target.format, offset=offset, limit=limit, on_received=bar.show_received
            )
        if target.path is None and target.format == "json":
            print_lines([""])  # the gateway's JSON does not end with a line break
    except KeyboardInterrupt:
        resume = target.resume_arguments(prediction.id)
        if final is not None:
            interrupt.exit_after_final(session, prediction.id, resume)
        if is_submitted_here:
            interrupt.ask_to_cancel(session, prediction, resume)
        interrupt.exit_while_running(session, prediction.id, resume)
    return final


def summarize(
    session: Session, final_progress: Progress, target: Target, bar: ProgressBar, seconds: float | None = None
) -> None:
    """Report the number of rows and the target: on the terminal, or as JSON.

    Args:
        session: of the command.
        final_progress: the final state of the prediction.
        target: where the result was written.
        bar: of the command.
        seconds: the time taken, if this command submitted the prediction.
    """
    rows, bad = final_progress.rows_done, final_progress.rows_bad
    if session.as_json and target.path is not None:
        took = {} if seconds is None else {"seconds": round(seconds, 3)}
        counts = {"id": final_progress.id, "rows": {"done": rows, "bad": bad}}
        report.print_json({**counts, **took, "target": str(target), "bytes": target.path.stat().st_size})
    elif bar.is_shown:
        some = f", {bad:,} of them bad," if bad else ""
        took_words = "" if seconds is None else f" in {format_duration(seconds)}"
        report.print_message(f"{format_rows(rows)}{some} scored{took_words}: {target}")


def follow(prediction: "Prediction", bar: ProgressBar) -> Progress:
    """Show the progress of a prediction until it has succeeded.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
    """
    now = None
    for now in prediction.progress():
        bar.show_progress(now)
    assert now is not None, "a prediction has an end"
    now.raise_if_ended()
    return now
