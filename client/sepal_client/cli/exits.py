"""The exit codes of `sepal`, and the table that maps errors to them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from sepal_client import errors


class ExitCode(IntEnum):
    """The exit code of a command."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    NO_RESULT = 5
    NOT_FOUND = 6
    DENIED = 7
    INTERRUPTED = 130


EXIT_CODE_MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "success",
    ExitCode.UNEXPECTED: "an unexpected error, such as a full disk or a bug",
    ExitCode.USAGE: "the command line is invalid: unknown command, option or value",
    ExitCode.REFUSED: "the rows, the file or the request were refused: change them",
    ExitCode.UNAVAILABLE: "the gateway is unreachable, not ready or overloaded: try again later",
    ExitCode.NO_RESULT: "the prediction failed, was canceled or has expired",
    ExitCode.NOT_FOUND: "the prediction or dead letter does not exist, or no longer exists",
    ExitCode.DENIED: "access is denied: the API key or the operator token is missing or wrong",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}

EXIT_CODE_BY_ERROR: Final[Mapping[type[errors.SepalError], ExitCode]] = {
    errors.InvalidInput: ExitCode.REFUSED,
    errors.GatewayUnreachable: ExitCode.UNAVAILABLE,
    errors.WaitTimeout: ExitCode.UNAVAILABLE,
    errors.DownloadIncomplete: ExitCode.UNAVAILABLE,
    errors.PredictionEnded: ExitCode.NO_RESULT,
    errors.RequestRefused: ExitCode.REFUSED,
    errors.AccessDenied: ExitCode.DENIED,
    errors.PredictionNotFound: ExitCode.NOT_FOUND,
    errors.PredictionGone: ExitCode.NOT_FOUND,
    errors.PredictionAlreadyFinal: ExitCode.REFUSED,
    errors.DeadLetterNotFound: ExitCode.NOT_FOUND,
    errors.IdempotencyConflict: ExitCode.REFUSED,
    errors.Unavailable: ExitCode.UNAVAILABLE,
    errors.GatewayFault: ExitCode.UNAVAILABLE,
}


def exit_code(error: errors.SepalError) -> ExitCode:
    """Return the exit code for an error."""
    if isinstance(error, errors.DownloadIncomplete) and isinstance(error.__cause__, OSError):
        return ExitCode.UNEXPECTED  # a local error, such as a full disk
    return next(
        (EXIT_CODE_BY_ERROR[kind] for kind in type(error).__mro__ if kind in EXIT_CODE_BY_ERROR), ExitCode.UNEXPECTED
    )
