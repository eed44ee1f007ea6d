"""Starts the command `sepal`, and has it end cleanly when it is stopped."""

import signal
import sys
from typing import Final, NoReturn

_AGAIN_SECONDS: Final = 5
_KILLED: Final = 128  # plus the number of the signal, as in a shell


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C needs no explanation
    from sepal_client.cli.commands import create_app

    app = create_app()
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name="sepal")


def _end(number: int, _: object) -> NoReturn:
    """End by an exception, so that no half file is left."""
    if hasattr(signal, "alarm"):  # Python drops an exception that meets a finalizer: raise it again
        signal.signal(signal.SIGALRM, lambda *_: _end(number, None))
        signal.alarm(_AGAIN_SECONDS)
    sys.exit(_KILLED + number)
