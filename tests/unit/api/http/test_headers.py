"""The `Prefer` header (RFC 7240)."""

import pytest

from api.http.headers import Preferences


@pytest.mark.parametrize(
    ("headers", "respond_async", "wait"),
    [
        ([], False, None),
        ([""], False, None),
        ([",,"], False, None),
        (["respond-async"], True, None),
        (["Respond-Async"], True, None),
        (["respond-async, wait=10"], True, 10),
        (["wait=10", "respond-async"], True, 10),
        (['foo; bar="a,b"; c, wait="7"'], False, 7),
        (["Wait = 3 ;x"], False, 3),
        (["wait=1, wait=2"], False, 1),
        (["wait=abc"], False, None),
        (["wait=-1"], False, None),
        (["wait=1.5"], False, None),
        (["wait"], False, None),
        (['respond-async=""'], True, None),
        (["respond-async=1"], False, None),
        (["respond-async; wait=5"], True, None),
        (["@@, wait=4"], False, 4),
        (['"a,wait=9", wait=1'], False, 1),
        (["handling=lenient, return=minimal"], False, None),
        (["wait=99999999999999999999"], False, None),
    ],
)
def test_preferences_are_parsed(headers: list[str], respond_async: bool, wait: int | None) -> None:
    assert Preferences.parse([header.encode() for header in headers]) == Preferences(respond_async, wait)


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        (Preferences(), 10),
        (Preferences(respond_async=True), 0),
        (Preferences(wait=5), 5),
        (Preferences(wait=500), 60),
        (Preferences(respond_async=True, wait=5), 5),
    ],
)
def test_wait_follows_the_preferences(preferences: Preferences, seconds: float) -> None:
    assert preferences.wait_seconds(default=10, longest=60) == seconds
