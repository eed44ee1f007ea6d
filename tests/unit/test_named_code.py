"""The architecture page and the glossary name files, classes, functions, settings and commands that exist."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("api", "worker", "shared", "training", "local", "client", "tools", "deploy", "benchmarks", "tests")
PAGES: Final = ("docs/architecture.md", "docs/glossary.md")

_CODE: Final = re.compile(r"`([^`\n]+)`")
_FILE: Final = re.compile(r"[\w./-]+\.(?:py|lua|md|toml|json)")
_CLASS: Final = re.compile(r"[A-Z][a-z]\w*(?:\.\w+)*")
_FUNCTION: Final = re.compile(r"_?[a-z]+(?:_[a-z]+)+")
_SETTING: Final = re.compile(r"SEPAL_[A-Z_]+")
_TARGET: Final = re.compile(r"make ([a-z-]+)")
_LUA_FUNCTION: Final = re.compile(r"function (\w+)\(")
_NOT_OURS: Final = {"Accept", "Authorization", "Location", "Prefer", "Range", "Ctrl", "card.json", "code.json"}
"""Names of HTTP and of files that the project writes."""


@cache
def files() -> list[str]:
    """Return the paths of all files of the rooms, and of those at the top level, from the root."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*")]
    return [path.relative_to(ROOT).as_posix() for path in (*found, *ROOT.glob("*"), *ROOT.glob("docs/**/*"))]


@cache
def definitions() -> tuple[dict[str, set[str]], set[str]]:
    """Return the members of each class, and all other names: functions, arguments, fields, members of JSON."""
    classes: dict[str, set[str]] = defaultdict(set)
    names: set[str] = set()
    for path in files():
        if path.endswith(".lua"):
            names.update(_LUA_FUNCTION.findall((ROOT / path).read_text()))
        if not path.endswith(".py"):
            continue
        names.add(Path(path).stem)
        of_tests = path.startswith("tests/")
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            match node:
                case ast.ClassDef(name=name, body=body, bases=bases):
                    classes[name].update(_defined(body))
                    classes[name].update(*(classes[base.id] for base in bases if isinstance(base, ast.Name)))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                    names.add(name)
                case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Constant(value=str(name)) if not of_tests:
                    names.add(name)
    return classes, names


def _defined(body: list[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
                found |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
    return found


def exists(code: str) -> bool:
    """Return whether a piece of code on a page names what exists; true for what is no name of the project's."""
    classes, names = definitions()
    if code in _NOT_OURS:
        return True
    if _FILE.fullmatch(code):
        return any(path == code or path.endswith(f"/{code}") for path in files())
    if code.partition("/")[0] in ROOMS and " " not in code:
        return code.rstrip("/") in files()
    if _CLASS.fullmatch(code):
        name, _, member = code.partition(".")
        return name in names | classes.keys() and (not member or member in classes[name])
    if _FUNCTION.fullmatch(code):
        return code in names or code.startswith("sepal_")
    if _SETTING.fullmatch(code):
        return f"`{code}`" in (ROOT / "docs/configuration.md").read_text()
    if target := _TARGET.match(code):
        return f"\n{target[1]}:" in (ROOT / "Makefile").read_text()
    return True


@pytest.mark.parametrize("page", PAGES)
def test_page_names_what_exists(page: str) -> None:
    named = dict.fromkeys(_CODE.findall((ROOT / page).read_text()))
    assert len(named) > 100
    assert [code for code in named if not exists(code)] == []


@pytest.mark.parametrize(
    "code",
    [
        "api/http/row.py",
        "rows_.lua",
        "api/htp",
        "Coordinater",
        "Coordinator.joins",
        "hand_outs",
        "SEPAL_WAIT",
        "make tset",
    ],
)
def test_what_does_not_exist_is_found(code: str) -> None:
    assert not exists(code)
