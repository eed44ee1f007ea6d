"""A hundred inputs for each property of each parser, the same in each run; `make fuzz-parsers` draws more."""

import pytest

from tests.fuzz.parsers.effort import Pumped, assert_linear
from tests.fuzz.parsers.parsers import PARSERS
from tests.fuzz.parsers.properties import Property

EXAMPLES = 100


@pytest.mark.parametrize(
    "each",
    [pytest.param(each, id=f"{name} {each.claim}") for name, properties in PARSERS.items() for each in properties],
)
def test_parser(each: Property) -> None:
    each.run(EXAMPLES, derandomize=True)


def test_quadratic_effort_is_noticed() -> None:
    def quadratic(text: bytes) -> None:
        for end in range(len(text)):
            for _ in text[:end]:
                pass

    with pytest.raises(AssertionError, match="lines became"):
        assert_linear(quadratic, Pumped(b"", b"a", b""))
