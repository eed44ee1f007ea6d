"""The life of a batch, in thousands of random steps; and faults in the scripts, which these steps must find."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.store import attempts, lookups, recovery, submissions, workers
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


Place = tuple[ModuleType, str]
_REQUEUES: list[Place] = [(attempts, "_REQUEUE"), (workers, "_REQUEUE")]
_ENDS: list[Place] = [(attempts, "_COMMIT")]

# How each fault is found, what is right, what is put in its place, and who runs the scripts that it is in.
FAULTS: dict[str, tuple[str, str, str, list[Place]]] = {
    "commit without its token": ("an earlier attempt than the latest has committed", " or token ~= ARGV[2]", "", _ENDS),
    "commit without its counter": (
        "the backlog of",
        "redis.call('HINCRBY', k_backlog, c_final .. batch.queue, batch.n_rows)",
        "",
        _ENDS,
    ),
    "commit that tells nobody": (
        "its gateway not told",
        "redis.call('PUBLISH', batch.reply, id .. ' ' .. finished .. ' ' .. (ending.travels and ending.outcome or ''))",
        "",
        _ENDS,
    ),
    "commit that keeps its lease": (
        "a lease on what nobody runs",
        "if (not token or token == ARGV[2]) and",
        "if false and",
        _ENDS,
    ),
    "requeue without its limit": (
        "more attempts than it may have",
        "tonumber(token) >= tonumber(max_attempts)",
        "false",
        _REQUEUES,
    ),
    "requeue without a place among the queued": (
        "the sorted sets",
        "redis.call('ZADD', k_queued .. queue, sequence, id)\n  publish_next",
        "publish_next",
        _REQUEUES,
    ),
    "requeue without evidence": (
        "evidence is missing",
        "redis.call('HSET', key, f_lost, lost and lost .. ',' .. ended or ended)",
        "redis.call('HSET', key, f_lost, ended)",
        [*_REQUEUES, (recovery, "_RECONCILE")],
    ),
    "claim without a token of its own": (
        "a token was given twice",
        "token = token + 1",
        "token = math.max(token, 1)",
        [(attempts, "_CLAIM")],
    ),
    "cancel without its counter": (
        "the backlog of",
        "redis.call('HINCRBY', k_backlog, c_final .. queue, n_rows - (tonumber(done) or 0))",
        "",
        [(lookups, "_CANCEL")],
    ),
    "cancel that leaves children queued": (
        "a child is queued under a parent that is final",
        "drop_queued(id, tonumber(children) or #members / MEMBER_BYTES, queue)",
        "",
        [(lookups, "_CANCEL")],
    ),
    "an end for an open record": (
        "an open record has an end",
        "redis.call('TTL', key) > tonumber(ARGV[1])",
        "true",
        [(lookups, "_SHORTEN")],
    ),
    "submission without a limit": (
        "larger than it may be",
        "n_rows > tonumber(ARGV[3])",
        "n_rows > 10 * tonumber(ARGV[3])",
        [(submissions, "_SUBMIT")],
    ),
    "submission that is never too late": (
        "accepted after its client was refused",
        "tonumber(created) > tonumber(ARGV[8])",
        "false",
        [(submissions, "_SUBMIT")],
    ),
    "a look that publishes nothing": (
        "not found within two looks",
        "publish_next(queue, batch[4], batch[3])",
        "",
        [(recovery, "_RECONCILE")],
    ),
    "a look that always gives the dead more time": (
        "is dead, and not forgotten",
        " and granted == ''",
        "",
        [(recovery, "_RECONCILE")],
    ),
    "a split that gives one member the rows of another": (
        "a member has the rows of another",
        "first_byte = first_byte + n_bytes",
        "first_byte = 1",
        [(recovery, "_SPLIT")],
    ),
    "a burial without a dead letter": (
        "are no dead letter",
        "redis.call('EXPIRE', key, ARGV[4])",
        "redis.call('DEL', key)",
        [(recovery, "_BURY")],
    ),
    "a second submission of the same batches": (
        "its rows are another's|the backlog|a batch is queued|sorted sets|out of order",
        "redis.call('EXISTS', k_batch .. id) == 1 then\n  return 1",
        "false then\n  return 1",
        [(submissions, "_SUBMIT")],
    ),
    "a second claim by the same attempt": (
        "a token was given twice|is under no lease|never ended|more attempts",
        "state == s_running and claimant == name",
        "false",
        [(attempts, "_CLAIM")],
    ),
    "a retention that is too long": (
        "a final record has no end",
        "redis.call('EXPIRE', k_batch .. id, ttl)",
        "redis.call('EXPIRE', k_batch .. id, ttl * 10)",
        _ENDS,
    ),
}


FOUND_EACH_TIME = ("commit without its token", "requeue without a place among the queued", "an end for an open record")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All of them in `make state-machine`, and a few in `make test`."""
    if "fault" in metafunc.fixturenames:
        every = metafunc.config.getoption("--machine-steps") is not None
        metafunc.parametrize("fault", list(FAULTS) if every else FOUND_EACH_TIME)


def test_fault_in_a_script_is_found(machine: type[StoreMachine], monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    found, right, wrong, places = FAULTS[fault]
    for module, constant in places:
        text = Script.load(constant.strip("_").lower()).text
        assert text.count(right) == 1
        monkeypatch.setattr(module, constant, Script(text.replace(right, wrong)))
    with pytest.raises(AssertionError, match=found):
        run(machine, 20_000, derandomize=True, shrink=False)
