"""Draws the strikes of the proxy against the requests of an operation."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import repeat
from random import Random
from typing import Final, NamedTuple

from tests.chaos.clients.operations import Extent, Phase
from tests.chaos.clients.strikes import Cut, Ending, Kill, Moment, Refuse, RetryAfter, Side, Strike

_STATUSES: Final = [503, 503, 429, 429, 502]
_NUMBERS: Final = [1, 1, 1, 2, 3]
"""The number of successive requests that are struck."""
_HEAD_BYTES: Final = 250
_EDGE_BYTES: Final = 20
_LASTING_SHARE: Final = 0.1
_EVERYTHING: Final = 10**9


class Kind(StrEnum):
    """The fault."""

    CUT = "cut"
    KILL = "kill"
    REFUSE = "refuse"


class Drawn(NamedTuple):
    """The strikes against one operation."""

    strikes: Iterator[Strike]
    lasts: bool
    """Whether every request is struck; then the client may give up."""


def draw(rng: Random, kind: Kind, phase: Phase, extent: Extent) -> Drawn:
    """Draw the strikes of a fault at random moments of an operation."""
    make = {Kind.CUT: _draw_cut, Kind.KILL: _draw_kill, Kind.REFUSE: _draw_refusal}[kind]
    lasts = rng.random() < _LASTING_SHARE
    if lasts:
        return Drawn(repeat(make(rng, extent)), lasts)
    strikes = [make(rng, extent) for _ in range(1 if kind is Kind.KILL else rng.choice(_NUMBERS))]
    if kind is Kind.REFUSE and phase is Phase.WAIT and rng.random() < 0.5:
        # A stream that is under way cannot be refused: it is cut, and the next request is refused.
        strikes.insert(0, Strike(Moment(seconds=rng.uniform(0, extent.seconds)), Cut(Ending.RESET)))
    return Drawn(iter(strikes), lasts)


def _draw_cut(rng: Random, extent: Extent) -> Strike:
    return Strike(_draw_moment(rng, extent), Cut(rng.choice([*Ending]), keeps_gateway=rng.random() < 0.5))


def _draw_kill(rng: Random, extent: Extent) -> Strike:
    return Strike(_draw_moment(rng, extent), Kill(kills_all=rng.random() < 0.25))


def _draw_refusal(rng: Random, extent: Extent) -> Strike:
    status = rng.choice(_STATUSES)
    refusal = Refuse(
        status,
        form=rng.choice([*RetryAfter]),
        seconds=rng.choice([0, 1]),
        is_problem=status == 503 or (status == 429 and rng.random() < 0.5),
        after_acceptance=rng.random() < 0.5,
    )
    side = Side.RESPONSE if refusal.after_acceptance else Side.REQUEST
    return Strike(Moment(side, 0 if refusal.after_acceptance else _draw_bytes(rng, extent.request_bytes)), refusal)


def _draw_moment(rng: Random, extent: Extent) -> Moment:
    which = rng.choice(["request", "response", "time"])
    if which == "time":
        return Moment(seconds=rng.uniform(0, 1.2 * extent.seconds))
    if which == "request":
        return Moment(Side.REQUEST, _draw_bytes(rng, extent.request_bytes))
    return Moment(Side.RESPONSE, min(_draw_bytes(rng, extent.response_bytes), extent.response_bytes))


def _draw_bytes(rng: Random, n_bytes: int) -> int:
    """Draw a number of bytes: mostly any, often one at an edge."""
    draws: list[Callable[[], int]] = [
        lambda: rng.randint(0, n_bytes),
        lambda: rng.randint(0, n_bytes),
        lambda: rng.randint(0, n_bytes),
        lambda: rng.randint(0, _HEAD_BYTES),
        lambda: max(0, n_bytes - rng.randint(0, _EDGE_BYTES)),
        lambda: _EVERYTHING,
    ]
    return rng.choice(draws)()
