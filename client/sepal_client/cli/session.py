"""What every command shares: the options that lead to the gateway, and how its errors are reported."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from sepal_client.cli import report
from sepal_client.cli.exits import ExitCode, exit_code
from sepal_client.cli.manual import Page
from sepal_client.errors import Problem, SepalError

if TYPE_CHECKING:
    from sepal_client import Sepal

P = ParamSpec("P")

PATIENT_SECONDS: Final = 120.0
"""How long a command that works on a file goes on trying to reach a gateway, which may be being replaced."""
QUICK_SECONDS: Final = 3.0
"""Likewise a command that answers at once: the URL may be wrong, and a person waits."""

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The gateway. [env: SEPAL_URL; default: http://127.0.0.1:8000]"),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", metavar="KEY", help="Your API key; rather set SEPAL_API_KEY.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Give up a connection without a byte for so long."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs; errors too, on standard error.")]


@dataclass(frozen=True)
class Session:
    """How a command reaches the gateway, and whether it prints JSON."""

    url: str | None = None
    api_key: str | None = None
    timeout: float = 30.0
    as_json: bool = False

    @property
    def address(self) -> str:
        """The URL of the gateway."""
        from sepal_client.settings import read_settings

        return read_settings(self.url).url

    def connect(self, *, retry_for: float = QUICK_SECONDS, operator_token: str | None = None) -> "Sepal":
        """Return a client of the gateway."""
        from sepal_client import Sepal

        return Sepal(
            self.url,
            api_key=self.api_key,
            operator_token=operator_token,
            timeout=self.timeout,
            retry_for=retry_for,
        )


def register(
    app: typer.Typer,
    command: Callable[Concatenate[Session, P], None],
    name: str,
    *,
    group: str | None = None,
    examples: str = "",
    settings: dict[str, Any] | None = None,
) -> None:
    """Add a command, with the options that all commands have.

    Args:
        app: what the command is added to.
        command: its first parameter is the session; the others are its arguments and options.
        name: of the command.
        group: the heading of the help that it stands below.
        examples: shown at the end of its help.
        settings: of the command's context, for its command line.
    """
    own = [*inspect.signature(command).parameters.values()][1:]
    shared = [*inspect.signature(_shared).parameters.values()]

    def run(url: str | None, api_key: str | None, timeout: float, as_json: bool, **own: Any) -> None:
        session = Session(url, api_key, timeout, as_json)
        code = _run(session, lambda: command(session, **own))  # type: ignore[call-arg]
        if code is not ExitCode.DONE:
            raise typer.Exit(code)

    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = command.__doc__
    add = app.command(name, cls=Page, rich_help_panel=group, epilog=examples, context_settings=settings)
    add(run)


def _shared(url: Url = None, api_key: ApiKey = None, timeout: Timeout = 30.0, as_json: AsJson = False) -> None:
    """Declare the options of every command."""


def _run(session: Session, command: Callable[[], None]) -> ExitCode:
    try:
        command()
    except SepalError as error:
        report.error(error, as_json=session.as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        report.failure(Problem("interrupted", "Interrupted."), as_json=session.as_json)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise  # typer ends the process quietly: what reads the output has closed it
    except OSError as error:
        report.failure(Problem("os-error", str(error)), as_json=session.as_json)
        return ExitCode.UNEXPECTED
    return ExitCode.DONE
