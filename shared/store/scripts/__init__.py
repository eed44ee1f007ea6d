"""The store's Lua scripts, one file each. The shared names and `prelude.lua` are put in front of every script."""

from hashlib import sha1
from importlib.resources import files
from typing import Final

from shared.store.schema import lua_names

_REFUSED_WHEN_FULL: Final = frozenset({"submit", "reserve"})
"""The other scripts finish accepted work, and so free memory: they also run when `maxmemory` is reached."""
_READ_ONLY: Final = frozenset({"examine", "get_dead_letter", "list_dead_letters", "look_up", "status"})
"""These also run when the server rejects writes: on a full disk, without enough replicas, on a replica."""


class Script:
    """A Lua script, run by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def load(cls, name: str) -> "Script":
        """Read `name`.lua and put the shared parts in front of it."""
        flags = "" if name in _REFUSED_WHEN_FULL else " flags=allow-oom" + (",no-writes" if name in _READ_ONLY else "")
        return cls(f"#!lua{flags}\n{lua_names()}{_read('prelude')}{_read(name)}")


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text()
