"""The client's pauses between the attempts of a request."""

import tenacity

from sepal_client import GatewayError, IdempotencyConflict, Problem, Unavailable
from sepal_client.attempts import Attempts

N_ATTEMPTS = 20


def longest_pause(error: GatewayError) -> float:
    """Return the longest pause between many attempts that fail alike."""
    attempts = Attempts("http://127.0.0.1:8000", retry_for=1000)
    failed = tenacity.Future(N_ATTEMPTS)
    failed.set_exception(error)
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.outcome, state.outcome_timestamp = failed, 0.0
    return max(float(attempts.tenacity_arguments["wait"](state)) for _ in range(N_ATTEMPTS))


def test_key_that_a_killed_gateway_left_in_use_is_asked_for_again_soon_after_it_is_free() -> None:
    in_use = IdempotencyConflict(409, Problem("idempotency-key-in-use", "The first request is being accepted."))
    assert 1 <= longest_pause(in_use) <= 2


def test_gateway_that_is_away_for_long_is_asked_seldom() -> None:
    assert 5 <= longest_pause(Unavailable(503, Problem("broker-unavailable", "Redis did not answer."))) <= 10
