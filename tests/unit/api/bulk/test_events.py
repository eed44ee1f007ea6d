"""The interval at which the gateway polls the changes of a prediction that a client follows."""

import pytest

from api.bulk.events import pause_seconds


@pytest.mark.parametrize(("followed", "expected"), [(0.0, 0.01), (0.1, 0.01), (1.0, 0.1), (5.0, 0.5), (1000.0, 0.5)])
def test_pauses_grow_with_the_time_that_a_client_follows(followed: float, expected: float) -> None:
    assert pause_seconds(followed, 1) == pytest.approx(expected)


@pytest.mark.parametrize(("n_clients", "expected"), [(20, 0.01), (200, 0.1), (4096, 0.5)])
def test_many_clients_are_not_looked_after_more_often_together(n_clients: int, expected: float) -> None:
    assert pause_seconds(0.0, n_clients) == pytest.approx(expected)
