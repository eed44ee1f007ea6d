"""`sepal dead-letters`: batches whose attempts are used up, for operators."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sepal_client.cli import interrupt, report
from sepal_client.cli.session import Session
from sepal_client.cli.terminal import print_lines

if TYPE_CHECKING:
    from sepal_client import DeadLetters

EXAMPLES: Final = """\
Examples:
  sepal dead-letters list
  sepal dead-letters show ID
  sepal dead-letters replay ID"""

Token = Annotated[
    str | None,
    typer.Option("--operator-token", metavar="TOKEN", help="The operator token; SEPAL_OPERATOR_TOKEN is safer."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the dead letter.")]


def list_all(session: Session, token: Token = None) -> None:
    """List all dead letters, the latest first: time and id."""
    with _connect_to_dead_letters(session, token) as dead_letters:
        for entry in dead_letters.entries():
            since = entry.dead_since.isoformat()
            if session.as_json:
                report.print_json({"id": entry.id, "dead_since": since})
            else:
                print_lines([f"{since}  {entry.id}"])


def show_one(session: Session, dead_letter_id: Id, token: Token = None) -> None:
    """Print a dead letter as JSON: its rows, and how each attempt ended."""
    with _connect_to_dead_letters(session, token) as dead_letters:
        report.print_json(dead_letters.show(dead_letter_id), indent=None if session.as_json else 2)


def replay(session: Session, dead_letter_id: Id, token: Token = None) -> None:
    """Submit the rows of a dead letter as a new prediction, and print its id."""
    with _connect_to_dead_letters(session, token) as dead_letters:
        prediction = dead_letters.replay(dead_letter_id)
    if session.as_json:
        report.print_json({"id": prediction.id})
    else:
        print_lines([prediction.id])
        report.print_message(f"Follow it: {interrupt.shell_command(session, ['watch', prediction.id])}")


def discard(session: Session, dead_letter_id: Id, token: Token = None) -> None:
    """Delete a dead letter."""
    with _connect_to_dead_letters(session, token) as dead_letters:
        dead_letters.discard(dead_letter_id)
    if session.as_json:
        report.print_json({"id": dead_letter_id})


@contextmanager
def _connect_to_dead_letters(session: Session, token: str | None) -> Iterator["DeadLetters"]:
    with session.connect(operator_token=token) as sepal:
        yield sepal.dead_letters
