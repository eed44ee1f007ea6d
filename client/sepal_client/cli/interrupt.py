"""Ctrl-C: what becomes of the work that is under way."""

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from sepal_client.cli import report
from sepal_client.cli.exits import ExitCode
from sepal_client.cli.session import Session
from sepal_client.errors import PredictionAlreadyFinal, Problem

if TYPE_CHECKING:
    from sepal_client import Prediction


def end_upload(session: Session, *, all_sent: bool) -> NoReturn:
    """End a command that was interrupted before the gateway accepted what it sent."""
    if all_sent:
        _end(session, "Interrupted before the gateway answered: sepal list shows whether it has accepted the rows.")
    _end(session, "Interrupted during the upload: nothing was accepted.")


def end_final(session: Session, prediction_id: str, resume: Sequence[str]) -> NoReturn:
    """End a command that was interrupted when the prediction was final."""
    _end(session, f"Interrupted. The result is kept for now: {command(session, resume)}", prediction_id)


def end_running(session: Session, prediction_id: str, resume: Sequence[str]) -> NoReturn:
    """End a command that was interrupted while the prediction goes on."""
    _end(session, f"Interrupted. Prediction {prediction_id} goes on: {command(session, resume)}", prediction_id)


def ask(session: Session, prediction: "Prediction", resume: Sequence[str]) -> NoReturn:
    """Leave the prediction running, or cancel it if a person at the terminal says so."""
    if not _is_interactive(session):
        end_running(session, prediction.id, resume)
    sys.stderr.write(f"Prediction {prediction.id} is not final. Leave it running? [Y/n] ")
    sys.stderr.flush()
    if not _says_no():
        end_running(session, prediction.id, resume)
    try:
        prediction.cancel()
    except PredictionAlreadyFinal:
        end_final(session, prediction.id, resume)
    _end(session, f"Prediction {prediction.id} is canceled.", prediction.id)


def command(session: Session, words: Sequence[str]) -> str:
    """Return a command of `sepal` as it is typed, for the same gateway."""
    gateway = [] if session.url is None else ["--url", session.url]
    return shlex.join(["sepal", *words, *gateway])


def _is_interactive(session: Session) -> bool:
    return not session.as_json and sys.stdin.isatty() and sys.stderr.isatty()


def _says_no() -> bool:
    try:
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D
            sys.stderr.write("\n")
        return answer.strip().lower() in ("n", "no")
    except KeyboardInterrupt:  # the second one: it leaves at once
        sys.stderr.write("\n")
        return False


def _end(session: Session, message: str, prediction_id: str | None = None) -> NoReturn:
    report.failure(Problem("interrupted", message), prediction_id, as_json=session.as_json)
    raise typer.Exit(ExitCode.INTERRUPTED)
