"""The table of all cases, in groups."""

from typing import Final

from tests.attack.case import Case
from tests.attack.cases import (
    bodies,
    chunks,
    expectations,
    framing,
    heads,
    ids,
    limits,
    lines,
    pipelines,
    routes,
    smuggling,
    targets,
    timing,
    trailers,
)

GROUPS: Final[dict[str, tuple[Case, ...]]] = {
    module.__name__.rpartition(".")[2]: module.CASES
    for module in (
        lines,
        targets,
        heads,
        framing,
        chunks,
        trailers,
        pipelines,
        expectations,
        smuggling,
        routes,
        ids,
        bodies,
        limits,
        timing,
    )
}
CASES: Final[tuple[Case, ...]] = tuple(case for cases in GROUPS.values() for case in cases)
