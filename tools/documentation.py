"""Writes the generated parts of the documentation; with --check, only lists the outdated files."""

import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from api.settings import ConnectionSettings, GatewaySettings
from benchmarks.load.settings import LoadSettings
from benchmarks.serving.excerpt import write_excerpts
from local.settings import LocalSettings
from shared.log import configure_logging
from shared.settings import BrokerSettings, FlowerSettings
from tools import metrics
from worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
OPERATIONS = DOCS / "operations.md"

SECTIONS: list[tuple[str, type[BaseSettings]]] = [
    ("Every process", BrokerSettings),
    ("Gateway: what clients can hold", ConnectionSettings),
    ("Gateway", GatewaySettings),
    ("Worker", WorkerSettings),
    ("Flower", FlowerSettings),
    ("`make run`", LocalSettings),
    ("`make load`", LoadSettings),
]


def main() -> None:
    """Write or check every generated page."""
    configure_logging(as_json=False, level="warning")
    pages = {
        DOCS / "configuration.md": generate_configuration(),
        README: generate_readme(),
        OPERATIONS: generate_operations(),
    }
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"outdated: {', '.join(map(str, stale))}; run `make docs`")
        return
    for path in stale:
        path.write_text(pages[path])
        print(f"wrote {path}")


def generate_readme() -> str:
    """Return the README with the figures of the latest `make bench`."""
    figures = write_excerpts(DOCS / "benchmarks")
    return _replace_section(
        README, "figures: written by `make docs` from docs/benchmarks/serving*.json", "figures", figures
    )


def generate_operations() -> str:
    """Return the operations page with the table of all metrics."""
    return _replace_section(
        OPERATIONS, "metrics: written by `make docs` from tools/metrics.py", "metrics", metrics.metrics_table()
    )


def _replace_section(page: Path, heading: str, name: str, content: str) -> str:
    """Return the page with `content` between the two HTML comments that mark the section."""
    start, end = f"<!-- {heading} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{content}\n\n{end}{after}"


def generate_configuration() -> str:
    """Return the reference of all settings, from their types and docstrings."""
    lines = [
        "# Configuration",
        "",
        "Generated from the settings classes by `make docs`. Every setting is an environment variable. A process reads",
        "its settings once, when it starts, and does not start if a value is out of bounds.",
    ]
    seen: set[str] = set()
    for title, settings in SECTIONS:
        rows = [_table_row(name, field) for name, field in settings.model_fields.items() if name not in seen]
        seen |= settings.model_fields.keys() if settings in (BrokerSettings, ConnectionSettings) else set()
        lines += ["", f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _table_row(name: str, field: object) -> str:
    default = getattr(field, "default", PydanticUndefined)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, tuple):
        default = ",".join(default) or None
    shown = "" if default in (None, PydanticUndefined) else f"`{default}`"
    bounds = ", ".join(filter(None, map(_format_bounds, getattr(field, "metadata", []))))
    meaning = " ".join(str(getattr(field, "description", "")).split())
    return f"| `SEPAL_{name.upper()}` | {shown} | {meaning}{f' ({bounds})' if bounds else ''} |"


def _format_bounds(constraint: object) -> str:
    symbols = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    return ", ".join(
        f"{symbol} {getattr(constraint, name)}" for name, symbol in symbols.items() if hasattr(constraint, name)
    )


if __name__ == "__main__":
    main()
