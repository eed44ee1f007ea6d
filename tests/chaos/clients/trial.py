"""One injection: strikes the requests of an operation, and records its outcome."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec

from sepal_client import AsyncSepal, Sepal, SepalError
from tests.chaos.clients.blocking import Blocking
from tests.chaos.clients.operations import WrongResult
from tests.chaos.clients.strikes import Seen

_HANGS_SECONDS: Final = 90.0
_CLOCK_SECONDS: Final = 0.02  # a wait may end that much early


Connect = Callable[..., AbstractContextManager[Any]]
"""Makes a client, as `client_of` does."""


class Ended(StrEnum):
    """How an operation ended."""

    RIGHT = "right"
    WRONG = "wrong"
    ERROR = "error"  # documented
    UNDOCUMENTED = "undocumented"  # an exception that is no SepalError
    HUNG = "hung"


class Trial(msgspec.Struct):
    """The observations of one injection."""

    number: int
    first: int
    """The number of the first row of its submission."""
    key: str
    """The API key, which no other trial has."""
    lasts: bool = False
    """Whether every request was struck, so that the client may have given up."""
    is_uploaded: bool = False
    """Whether it made a bulk prediction with its key."""
    ended: Ended = Ended.HUNG
    error: str = ""
    prediction_id: str | None = None
    """The id as the client returned it."""
    n_struck: int = 0
    early: int = 0
    """Refused requests that were retried before the time in `Retry-After`."""
    left: list[str] = msgspec.field(default_factory=list)
    """Files that must not exist."""


def attempt(trial: Trial, operate: Callable[[], None]) -> None:
    """Run an operation, and record how it ended."""

    def run() -> None:
        trial.ended, trial.error = _run_and_classify(operate)

    thread = threading.Thread(target=run, name="operation", daemon=True)
    thread.start()
    thread.join(_HANGS_SECONDS)


def _run_and_classify(operate: Callable[[], None]) -> tuple[Ended, str]:
    try:
        operate()
    except WrongResult as error:
        return Ended.WRONG, str(error)
    except SepalError as error:
        text = str(error)
        return (Ended.ERROR if text else Ended.UNDOCUMENTED), f"{type(error).__name__}: {text}"
    except BaseException as error:
        return Ended.UNDOCUMENTED, f"{type(error).__name__}: {error}"
    return Ended.RIGHT, ""


@contextmanager
def client_of(url: str, key: str, *, timeout: float, retry_for: float, is_async: bool) -> Iterator[Any]:
    """Make a client, and close it at the end."""
    if not is_async:
        with Sepal(url, api_key=key, timeout=timeout, retry_for=retry_for) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncSepal(url, api_key=key, timeout=timeout, retry_for=retry_for)
        try:
            yield Blocking(asynchronous, runner)
        finally:
            runner.run(asynchronous.aclose())


def early_repeats(seen: Sequence[Seen]) -> int:
    """Count the refused requests that were repeated too early."""
    count = 0
    for index, refused in enumerate(seen):
        repeats = [later.at for later in seen[index + 1 :] if later.target == refused.target]
        count += bool(repeats) and repeats[0] < refused.earliest_repeat - _CLOCK_SECONDS
    return count


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Create temporary files in this folder."""
    with patch.object(tempfile, "tempdir", str(folder)):
        yield


def files_in(*folders: Path) -> list[str]:
    """List the files in some folders."""
    return sorted(path.name for folder in folders for path in folder.rglob("*"))
