"""Counts the lines of Python that a call runs, to measure how the effort grows with the length of an input."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

_REPETITIONS: Final = 50, 400
_SLACK: Final = 2.0


class Pumped(NamedTuple):
    """A text with a repeated middle, the form of inputs that slow parsers down."""

    begin: bytes
    middle: bytes
    end: bytes

    def repeated(self, times: int) -> bytes:
        """Write the text."""
        return self.begin + self.middle * times + self.end


def pumped(fragments: st.SearchStrategy[bytes]) -> st.SearchStrategy[Pumped]:
    """Draw texts with a repeated middle from fragments."""
    joined = st.lists(fragments, max_size=4).map(b"".join)
    return st.builds(Pumped, joined, st.lists(fragments, min_size=1, max_size=4).map(b"".join), joined)


def lines_run(call: Callable[[], Any]) -> int:
    """Return the number of lines of Python that a call runs, whether or not it raises."""
    n_lines = 0

    def trace(_: FrameType, event: str, __: Any) -> Any:
        nonlocal n_lines
        n_lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Exception:  # other properties say what may be raised
        pass
    finally:
        sys.settrace(before)
    return n_lines


def assert_linear(parse: Callable[[bytes], Any], text: Pumped) -> None:
    """Check that the number of lines that a parser runs grows at most in proportion to the length of the text."""
    few, many = (lines_run(lambda n=times: parse(text.repeated(n))) for times in _REPETITIONS)  # type: ignore[misc]
    growth = _REPETITIONS[1] / _REPETITIONS[0]
    assert many <= _SLACK * growth * max(few, 10), f"{few} lines became {many}"
