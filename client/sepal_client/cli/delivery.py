"""Follows a prediction to its end, and writes its result."""

from typing import TYPE_CHECKING

from sepal_client.cli import interrupt, report
from sepal_client.cli.bar import Bar
from sepal_client.cli.session import Session
from sepal_client.cli.target import Target
from sepal_client.cli.terminal import show
from sepal_client.cli.words import duration, n_rows
from sepal_client.progress import Progress

if TYPE_CHECKING:
    from sepal_client import Prediction


def deliver(
    session: Session,
    prediction: "Prediction",
    target: Target,
    bar: Bar,
    *,
    is_own: bool,
    offset: int | None = None,
    limit: int | None = None,
) -> Progress:
    """Wait for a prediction, and write its result.

    Args:
        session: of the command.
        prediction: to fetch.
        target: of the result.
        bar: shows progress.
        is_own: whether this command has submitted it: then Ctrl-C offers to cancel it.
        offset: how many rows to leave out at the beginning.
        limit: how many rows to write.

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
                target.destination, format=target.format, offset=offset, limit=limit, on_received=bar.received
            )
        if target.path is None and target.format == "json":
            show([""])  # the gateway's JSON has no line break at its end
    except KeyboardInterrupt:
        resume = target.resumption(prediction.id)
        if final is not None:
            interrupt.end_final(session, prediction.id, resume)
        if is_own:
            interrupt.ask(session, prediction, resume)
        interrupt.end_running(session, prediction.id, resume)
    return final


def summarize(session: Session, final: Progress, target: Target, bar: Bar, seconds: float | None = None) -> None:
    """Tell a person at the terminal, or a program, what was done.

    Args:
        session: of the command.
        final: the end of the prediction.
        target: that the result was written to.
        bar: of the command.
        seconds: that it took, if this command has submitted the prediction.
    """
    rows, bad = final.rows_done, final.rows_bad
    if session.as_json and target.path is not None:
        took = {} if seconds is None else {"seconds": round(seconds, 3)}
        counts = {"id": final.id, "rows": {"done": rows, "bad": bad}}
        report.print_json({**counts, **took, "target": str(target), "bytes": target.path.stat().st_size})
    elif bar.is_shown:
        some = f", {bad:,} of them bad," if bad else ""
        took_words = "" if seconds is None else f" in {duration(seconds)}"
        report.say(f"{n_rows(rows)}{some} scored{took_words}: {target}")


def follow(prediction: "Prediction", bar: Bar) -> Progress:
    """Show the progress of a prediction until it has succeeded.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
    """
    now = None
    for now in prediction.progress():
        bar.progress(now)
    assert now is not None, "a prediction has an end"
    now.raise_if_ended()
    return now
