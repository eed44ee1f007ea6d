"""Names that the gateway, the worker and the scripts share are defined once, in `shared/store/schema.py`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store.schema import MEMBER_BYTES, BatchState, Counter, Field, Key, lua_literals
from tests.stack import ROOT

SCRIPTS = sorted((ROOT / "shared/store/scripts").glob("*.lua"))
MODULES = [
    path
    for room in ("api", "worker", "client", "training", "shared")
    for path in sorted((ROOT / room).rglob("*.py"))
    if path != ROOT / "shared/store/schema.py"
]
PREFIX = re.compile(r"\bsepal:[a-z]")
# These modules contain the states of a prediction that clients see.
SHOWN_TO_CLIENTS = {ROOT / "shared/names.py", ROOT / "api/http/schemas.py", ROOT / "client/sepal_client/progress.py"}


def literals(path: Path) -> Iterator[str]:
    """Yield the string literals of a module, except docstrings and names of scripts."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    others = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    others |= {id(argument) for node in nodes if isinstance(node, ast.Call) and is_load(node) for argument in node.args}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in others:
            if isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
            elif isinstance(node.value, str):
                yield node.value


def is_load(call: ast.Call) -> bool:
    """Whether a call is `Script.load(…)`."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "load" and ast.unparse(call.func) == "Script.load"


def code(path: Path) -> str:
    """Return a script without its comments."""
    return "\n".join(line.partition("--")[0] for line in path.read_text().splitlines())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_contains_a_literal_key_or_state(path: Path) -> None:
    states = set() if path in SHOWN_TO_CLIENTS else set(BatchState)
    assert [text for text in literals(path) if PREFIX.search(text) or text in states] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_contains_a_literal_key_field_state_or_offset(path: Path) -> None:
    strings = re.findall(r"'([^']*)'", code(path))
    shared = {*Key, *Field, *Counter, *BatchState}
    assert [text for text in strings if PREFIX.search(text) or text in shared] == []
    numbers = {int(number) for number in re.findall(r"(?<![\w.])(\d+)\b", code(path))}
    assert not numbers & {13, 14, 18, 22, MEMBER_BYTES}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_shared_name_in_a_script_is_defined(path: Path) -> None:
    used = set(re.findall(r"\b[kfcsq]_[a-z_]+\b|\b[A-Z][A-Z_]+[A-Z]\b", re.sub(r"'[^']*'", "", code(path))))
    assert used <= {*lua_literals(), "ARGV", "MAX_BATCHES"}
