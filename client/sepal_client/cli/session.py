"""The options that all commands share, the connection to the gateway, and the reporting of errors."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from sepal_client.cli import report
from sepal_client.cli.exits import ExitCode, exit_code
from sepal_client.cli.manual import DocumentedCommand
from sepal_client.errors import Problem, SepalError

if TYPE_CHECKING:
    from sepal_client import Sepal

P = ParamSpec("P")

PATIENT_RETRY_SECONDS: Final = 120.0
"""How long a command that processes a file retries, because the gateway may be restarting."""
QUICK_RETRY_SECONDS: Final = 3.0
"""How long other commands retry: the URL may be wrong, and the user is waiting."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The URL of the gateway. [env: SEPAL_URL; default: http://127.0.0.1:8000]"
    ),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", metavar="KEY", help="Your API key; SEPAL_API_KEY is safer.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Close a connection after so long without a byte."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; errors too, on standard error.")]


@dataclass(frozen=True)
class Session:
    """The values of the options that all commands share."""

    url: str | None = None
    api_key: str | None = None
    timeout: float = 30.0
    as_json: bool = False

    @property
    def address(self) -> str:
        """The URL of the gateway."""
        from sepal_client.settings import read_settings

        return read_settings(self.url).url

    def connect(self, *, retry_for: float = QUICK_RETRY_SECONDS, operator_token: str | None = None) -> "Sepal":
        """Return a client of the gateway."""
        from sepal_client import Sepal

        return Sepal(
            self.url,
            api_key=self.api_key,
            operator_token=operator_token,
            timeout=self.timeout,
            retry_for=retry_for,
        )


def register_command(
    app: typer.Typer,
    command: Callable[Concatenate[Session, P], None],
    name: str,
    *,
    group: str | None = None,
    examples: str = "",
    settings: dict[str, Any] | None = None,
) -> None:
    """Add a command, with the options that all commands share.

    Args:
        app: the group that the command is added to.
        command: its first parameter is the session; the others are its arguments and options.
        name: of the command.
        group: the heading in the help that the command is listed under.
        examples: shown at the end of its help.
        settings: Click context settings, for parsing.
    """
    own = [*inspect.signature(command).parameters.values()][1:]
    shared = [*inspect.signature(_shared_options).parameters.values()]

    def run(url: str | None, api_key: str | None, timeout: float, as_json: bool, **own_options: Any) -> None:
        session = Session(url, api_key, timeout, as_json)
        code = _run_and_report(session, lambda: command(session, **own_options))  # type: ignore[call-arg]
        if code is not ExitCode.DONE:
            raise typer.Exit(code)

    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = command.__doc__
    add = app.command(name, cls=DocumentedCommand, rich_help_panel=group, epilog=examples, context_settings=settings)
    add(run)


def _shared_options(url: Url = None, api_key: ApiKey = None, timeout: Timeout = 30.0, as_json: AsJson = False) -> None:
    """Declare the options of every command."""


def _run_and_report(session: Session, command: Callable[[], None]) -> ExitCode:
    try:
        command()
    except SepalError as error:
        report.report_error(error, as_json=session.as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        report.report_problem(Problem("interrupted", "Interrupted."), as_json=session.as_json)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise  # the reader has closed the output: typer ends the process without a message
    except OSError as error:
        report.report_problem(Problem("os-error", str(error)), as_json=session.as_json)
        return ExitCode.UNEXPECTED
    return ExitCode.DONE
