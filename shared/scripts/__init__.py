"""The store's Lua scripts, one file each; every one is run with the keys' names and `prelude.lua` in front of it."""

from importlib.resources import files
from typing import Final

from shared import record

_KEYS: Final = {
    "BACKLOG": record.BACKLOG_KEY,
    "BATCH": record.BATCH_PREFIX,
    "DEAD_LETTER": record.DEAD_LETTER_PREFIX,
    "DEAD_LETTERS": record.DEAD_LETTERS_KEY,
    "EXHAUSTED": record.EXHAUSTED_KEY,
    "LEASES": record.LEASES_PREFIX,
    "QUEUED": record.QUEUED_PREFIX,
    "RECONCILER": record.RECONCILER_KEY,
    "UNACKED": record.UNACKED_PREFIX,
    "UNACKED_INDEX": record.UNACKED_INDEX_PREFIX,
    "WORKERS": record.WORKERS_KEY,
}
_REFUSED_WHEN_FULL: Final = frozenset({"submit"})
"""The others finish what was accepted, and so free memory: they run where `maxmemory` is reached, too."""


def script(name: str) -> str:
    """Read the script `name`.lua, complete."""
    flags = "" if name in _REFUSED_WHEN_FULL else " flags=allow-oom"
    keys = "".join(f"local {variable} = '{key}'\n" for variable, key in _KEYS.items())
    return f"#!lua{flags}\n{keys}{_read('prelude')}{_read(name)}"


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text()
