"""Starts the command `sepal`, and ends it cleanly on signals."""

import signal
import sys
from typing import Final, NoReturn

_RAISE_AGAIN_SECONDS: Final = 5
_SIGNAL_EXIT_CODE_BASE: Final = 128  # exit code, plus the number of the signal, as in a shell


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # during imports, Ctrl-C ends the process without a traceback
    from sepal_client.cli.commands import create_app

    app = create_app()
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _exit_on_signal)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name="sepal")


def _exit_on_signal(signal_number: int, _: object) -> NoReturn:
    """Raise SystemExit, so that incomplete files are deleted."""
    if hasattr(signal, "alarm"):  # Python drops an exception raised in a finalizer: raise it again later
        signal.signal(signal.SIGALRM, lambda *_: _exit_on_signal(signal_number, None))
        signal.alarm(_RAISE_AGAIN_SECONDS)
    sys.exit(_SIGNAL_EXIT_CODE_BASE + signal_number)
