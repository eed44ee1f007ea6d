"""The parts of a fuzzer: a strategy that draws inputs, and a check of each input."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

_EXAMPLES_PER_ROUND: Final = 500


def mostly(common: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Draw from `odd` once in about ten draws, so that an input of several parts is often right as a whole."""
    return st.sampled_from(range(10)).flatmap(lambda number: odd if number == 7 else common)


@dataclass(frozen=True)
class Property:
    """A claim about a parser."""

    claim: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]
    finds: tuple[Any, ...] = ()
    """Inputs that once violated the claim."""

    def run(self, n_examples: int, *, derandomize: bool) -> int:
        """Check the finds and this many other inputs; return the number of checked inputs.

        Raises:
            AssertionError, or what the parser raises: the claim is false for an input, which is in the notes.
        """
        n_checked = 0

        def check(drawn: Any) -> None:
            nonlocal n_checked
            n_checked += 1
            self.check(drawn)

        test = given(self.inputs)(check)
        for find in self.finds:
            test = example(find)(test)
        limits = settings(
            max_examples=n_examples,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        limits(test)()
        return n_checked


def run_for(seconds: float, properties: list[Property]) -> int:
    """Check random inputs of all properties in turn for this long; return the number of checked inputs."""
    deadline, n_checked = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        for each in properties:
            n_checked += each.run(_EXAMPLES_PER_ROUND, derandomize=False)
    return n_checked
