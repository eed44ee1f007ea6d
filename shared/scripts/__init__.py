"""The store's Lua scripts, one file each."""

from importlib.resources import files


def script(name: str) -> str:
    """Read the script `name`.lua."""
    return files(__name__).joinpath(f"{name}.lua").read_text()
