"""Handles Ctrl-C: reports what happens to the upload or prediction, and offers to cancel it."""

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


def exit_during_upload(session: Session, *, is_all_sent: bool) -> NoReturn:
    """End a command that was interrupted before the gateway responded to its upload."""
    if is_all_sent:
        _exit_interrupted(
            session, 'Interrupted before the gateway responded: "sepal list" shows whether it accepted the rows.'
        )
    _exit_interrupted(session, "Interrupted during the upload: nothing was accepted.")


def exit_after_final(session: Session, prediction_id: str, resume_arguments: Sequence[str]) -> NoReturn:
    """End a command that was interrupted after the prediction was final."""
    _exit_interrupted(
        session, f"Interrupted. To fetch the result later: {shell_command(session, resume_arguments)}", prediction_id
    )


def exit_while_running(session: Session, prediction_id: str, resume_arguments: Sequence[str]) -> NoReturn:
    """End a command that was interrupted while the prediction continues."""
    _exit_interrupted(
        session,
        f"Interrupted. Prediction {prediction_id} continues: {shell_command(session, resume_arguments)}",
        prediction_id,
    )


def ask_to_cancel(session: Session, prediction: "Prediction", resume_arguments: Sequence[str]) -> NoReturn:
    """Ask on the terminal whether to leave the prediction running; if not, cancel it."""
    if not _is_interactive(session):
        exit_while_running(session, prediction.id, resume_arguments)
    sys.stderr.write(f"Prediction {prediction.id} is not final. Leave it running? [Y/n] ")
    sys.stderr.flush()
    if not _is_answered_no():
        exit_while_running(session, prediction.id, resume_arguments)
    try:
        prediction.cancel()
    except PredictionAlreadyFinal:
        exit_after_final(session, prediction.id, resume_arguments)
    _exit_interrupted(session, f"Prediction {prediction.id} is canceled.", prediction.id)


def shell_command(session: Session, arguments: Sequence[str]) -> str:
    """Return a `sepal` command for the same gateway, quoted for a shell."""
    gateway = [] if session.url is None else ["--url", session.url]
    return shlex.join(["sepal", *arguments, *gateway])


def _is_interactive(session: Session) -> bool:
    return not session.as_json and sys.stdin.isatty() and sys.stderr.isatty()


def _is_answered_no() -> bool:
    try:
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D
            sys.stderr.write("\n")
        return answer.strip().lower() in ("n", "no")
    except KeyboardInterrupt:  # a second Ctrl-C ends the command and leaves the prediction running
        sys.stderr.write("\n")
        return False


def _exit_interrupted(session: Session, message: str, prediction_id: str | None = None) -> NoReturn:
    report.report_problem(Problem("interrupted", message), prediction_id, as_json=session.as_json)
    raise typer.Exit(ExitCode.INTERRUPTED)
