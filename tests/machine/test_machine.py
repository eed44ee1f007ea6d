"""The life of a batch, in thousands of random steps; and faults in the scripts, which these steps must find."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.store import announcements, attempts, lookups, recovery
from shared.store.scripts import Script
from tests.chaos import clock
from tests.machine.machine import StoreMachine
from tests.machine.server import running_server
from tests.tools import missing

STEPS_AN_EXAMPLE = 50


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[StoreMachine]]:
    if clock.library() is None:
        missing("libfaketime (Debian's package faketime)")
    with running_server(tmp_path_factory.mktemp("machine")) as server:
        StoreMachine.server = server
        yield StoreMachine


def run(machine: type[StoreMachine], steps: int, *, derandomize: bool, shrink: bool) -> None:
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=steps // STEPS_AN_EXAMPLE,
            stateful_step_count=STEPS_AN_EXAMPLE,
            derandomize=derandomize,
            database=None,
            deadline=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(0)
def test_every_promise_holds_after_every_step(machine: type[StoreMachine], request: pytest.FixtureRequest) -> None:
    steps = request.config.getoption("--machine-steps")
    run(machine, steps or 2000, derandomize=steps is None, shrink=True)


FAULTS = {
    "commit without its token": ("commit", " or token ~= ARGV[2]", "", [(attempts, "_COMMIT")]),
    "requeue without its limit": (
        "requeue",
        "tonumber(token) >= tonumber(max_attempts)",
        "false",
        [(attempts, "_REQUEUE"), (announcements, "_REQUEUE")],
    ),
    "requeue without a place among the queued": (
        "requeue",
        "redis.call('ZADD', k_queued .. queue, sequence, id)\n  publish_next",
        "publish_next",
        [(attempts, "_REQUEUE"), (announcements, "_REQUEUE")],
    ),
    "commit without its counter": (
        "commit",
        "redis.call('HINCRBY', k_backlog, c_final .. batch.queue, batch.n_rows)",
        "",
        [(attempts, "_COMMIT")],
    ),
    "cancel without its counter": (
        "cancel",
        "redis.call('HINCRBY', k_backlog, c_final .. queue, n_rows - (tonumber(done) or 0))",
        "",
        [(lookups, "_CANCEL")],
    ),
    "an end for an open record": (
        "shorten",
        "redis.call('TTL', key) > tonumber(ARGV[1])",
        "true",
        [(lookups, "_SHORTEN")],
    ),
    "a look that publishes nothing": (
        "reconcile",
        "publish_next(queue, batch[4], batch[3])",
        "",
        [(recovery, "_RECONCILE")],
    ),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_fault_in_a_script_is_found(machine: type[StoreMachine], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    script, right, wrong, places = FAULTS[name]
    text = Script.load(script).text
    assert right in text
    for module, constant in places:
        monkeypatch.setattr(module, constant, Script(text.replace(right, wrong)))
    with pytest.raises(AssertionError):
        run(machine, 20_000, derandomize=True, shrink=False)
