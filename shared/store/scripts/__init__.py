"""The store's Lua scripts, one file each; `prelude.lua` and `slices.lua` contain functions that they share.

A script is loaded with the shared functions that it uses in front of it, and with the shared names replaced by their
values. As local variables, the names and unused functions would take a sixth of the time of a script, because Lua
allocates them for every call.
"""

import re
from hashlib import sha1
from importlib.resources import files
from typing import Final

from shared.store.schema import lua_literals

_REFUSED_WHEN_FULL: Final = frozenset({"submit", "reserve", "accept_bulk", "reserve_space"})
"""These do not run when `maxmemory` is reached. The others do: they finish accepted work, which frees memory."""
_READ_ONLY: Final = frozenset(
    {"examine", "get_dead_letter", "have_records", "list_bulk", "list_dead_letters", "look_up", "read_bulk", "status"}
)
"""These also run when the server rejects writes: its disk is full, it lacks replicas, or it is a replica."""

_LITERALS: Final = lua_literals()
_NAME_PATTERN: Final = re.compile(rf"\b({'|'.join(_LITERALS)})\b")
_FUNCTION_PATTERN: Final = re.compile(r"^local function (\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)


class Script:
    """A Lua script, run by its hash."""

    def __init__(self, source: str) -> None:
        self.source = source
        """The script with the shared names."""
        self.text = _NAME_PATTERN.sub(lambda name: str(_LITERALS[name[1]]), source)
        """The script as the server runs it, with the values of the names."""
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def load(cls, name: str) -> "Script":
        """Load `name`.lua, with the shared functions that it uses in front of it."""
        flags = "" if name in _REFUSED_WHEN_FULL else " flags=allow-oom" + (",no-writes" if name in _READ_ONLY else "")
        return cls(f"#!lua{flags}\n{_prepend_functions(_read_script(name))}")


def _prepend_functions(script: str) -> str:
    for function in reversed(
        list(_FUNCTION_PATTERN.finditer(_read_script("prelude") + _read_script("slices")))
    ):  # a function may use those above it
        if re.search(rf"\b{function[1]}\b", script):
            script = function[0] + script
    return script


def _read_script(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text()
