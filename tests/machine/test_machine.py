"""Thousands of random steps in the life of a batch, and faults in the scripts that these steps must detect."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test

from shared.store import attempts, bulk, lookups, recovery, submissions, workers
from shared.store.scripts import Script
from tests.chaos import clock
from tests.machine.bulk_machine import BulkMachine
from tests.machine.machine import StoreMachine
from tests.machine.server import running_server
from tests.tools import skip_without

STEPS_PER_EXAMPLE = 50
ATTEMPTS = 3
MAX_STEPS_TO_A_FAULT = 20_000
QUICK_SEED = 7  # of forty that were tried, for two faults: most find them within 600 steps


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[StoreMachine]]:
    if clock.library() is None:
        skip_without("libfaketime (Debian's package faketime)")
    with running_server(tmp_path_factory.mktemp("machine")) as server:
        StoreMachine.server = server
        yield StoreMachine


def run(machine: type[StoreMachine], steps: int, *, derandomize: bool, shrink: bool) -> None:
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])]
    chosen = settings(
        max_examples=steps // STEPS_PER_EXAMPLE,
        stateful_step_count=STEPS_PER_EXAMPLE,
        derandomize=derandomize,
        phases=phases,
        report_multiple_bugs=False,
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run_state_machine_as_test(machine, settings=chosen)
        except FlakyStrategyDefinition:  # a step took so long that another one became possible: the clock is a real one
            if attempt == ATTEMPTS:
                raise
        else:
            return


@pytest.mark.timeout(0)
def test_promises_hold_after_every_step(machine: type[StoreMachine], request: pytest.FixtureRequest) -> None:
    steps = request.config.getoption("--machine-steps")
    run(machine, steps or 2000, derandomize=steps is None, shrink=True)


@pytest.mark.timeout(0)
def test_promises_of_bulk_predictions_hold_after_every_step(
    machine: type[StoreMachine], request: pytest.FixtureRequest
) -> None:
    assert issubclass(BulkMachine, machine)
    steps = request.config.getoption("--machine-steps")
    run(BulkMachine, (steps or 8000) // 4, derandomize=steps is None, shrink=True)


ScriptConstant = tuple[ModuleType, str]
_REQUEUES: list[ScriptConstant] = [(attempts, "_REQUEUE"), (workers, "_REQUEUE")]
_COMMITS: list[ScriptConstant] = [(attempts, "_COMMIT")]

# For each fault: the assertion that finds it, the right text, the faulty text, and the constants of the scripts.
FAULTS: dict[str, tuple[str, str, str, list[ScriptConstant]]] = {
    "commit without its token": ("an attempt before the latest has committed", " or token ~= ARGV[2]", "", _COMMITS),
    "commit without its counter": (
        "the backlog of",
        "redis.call('HINCRBY', k_backlog, c_final .. batch.queue, batch.n_rows)",
        "",
        _COMMITS,
    ),
    "commit that publishes nothing": (
        "no reply was published",
        "redis.call('PUBLISH', batch.reply, id .. ' ' .. finished .. ' ' .. "
        "(result.is_published and result.outcome or ''))",
        "",
        _COMMITS,
    ),
    "commit that keeps its lease": (
        "a lease on a batch that does not run",
        "if (not token or token == ARGV[2]) and",
        "if false and",
        _COMMITS,
    ),
    "requeue without its limit": (
        "more attempts than the limit",
        "tonumber(token) >= tonumber(max_attempts)",
        "false",
        _REQUEUES,
    ),
    "requeue without the sorted set": (
        "the sorted sets",
        "redis.call('ZADD', k_queued .. queue, sequence, id)\n  publish_next",
        "publish_next",
        _REQUEUES,
    ),
    "requeue without a record of the attempt": (
        "a lost attempt is missing",
        "redis.call('HSET', key, f_lost, lost and lost .. ',' .. attempt or attempt)",
        "redis.call('HSET', key, f_lost, attempt)",
        [*_REQUEUES, (recovery, "_RECONCILE")],
    ),
    "claim without a new token": (
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
        "a child of a final parent is queued",
        "delete_queued_children(id, tonumber(children) or #members / MEMBER_BYTES, queue)",
        "",
        [(lookups, "_CANCEL")],
    ),
    "retention of an open record": (
        "an open record has a TTL",
        "redis.call('TTL', key) > tonumber(ARGV[1])",
        "true",
        [(lookups, "_SHORTEN")],
    ),
    "submission without a limit": (
        "exceeds its limit",
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
    "reconciler that publishes nothing": (
        "lost after two runs",
        "publish_next(queue, batch[4], batch[3])",
        "",
        [(recovery, "_RECONCILE")],
    ),
    "reconciler that always grants a grace period": (
        "is lost, but still registered",
        " and granted == ''",
        "",
        [(recovery, "_RECONCILE")],
    ),
    "split that gives a member the rows of another": (
        "a member has the rows of another",
        "first_byte = first_byte + n_bytes",
        "first_byte = 1",
        [(recovery, "_SPLIT")],
    ),
    "dead letter that is deleted": (
        "poison without a dead letter",
        "redis.call('EXPIRE', key, ARGV[4])",
        "redis.call('DEL', key)",
        [(recovery, "_DEAD_LETTER")],
    ),
    "second submission of the same batches": (
        "the rows of another|the backlog|a batch is queued|sorted sets|out of order",
        "redis.call('EXISTS', k_batch .. id) == 1 then\n  return 1",
        "false then\n  return 1",
        [(submissions, "_SUBMIT")],
    ),
    "second claim by the same attempt": (
        "a token was given twice|has no lease|never became final|more attempts",
        "state == s_running and claimant == name",
        "false",
        [(attempts, "_CLAIM")],
    ),
    "retention that is too long": (
        "a final record has no TTL",
        "redis.call('EXPIRE', k_batch .. id, ttl)",
        "redis.call('EXPIRE', k_batch .. id, ttl * 10)",
        _COMMITS,
    ),
}


_COMMIT_SLICES: list[ScriptConstant] = [(attempts, "_COMMIT_SLICE")]
_HANDING_OUT: list[ScriptConstant] = [(bulk, "_ACCEPT_BULK"), *_COMMIT_SLICES, (recovery, "_RECONCILE")]
_ENDING: list[ScriptConstant] = [(bulk, "_CANCEL_BULK"), (bulk, "_ABANDON_UPLOAD"), *_COMMIT_SLICES]

BULK_FAULTS: dict[str, tuple[str, str, str, list[ScriptConstant]]] = {
    "commit of a slice without its token": (
        "an earlier attempt committed",
        " or token ~= ARGV[2]",
        "",
        _COMMIT_SLICES,
    ),
    "repeated commit of a slice": (
        "accepted and then refused",
        "if not is_failure and redis.call('ZSCORE'",
        "if false and redis.call('ZSCORE'",
        _COMMIT_SLICES,
    ),
    "slices without a limit": (
        "more slices are handed out",
        "count_bulk_processes() * SLICES_PER_PROCESS",
        "count_bulk_processes() * 10",
        _HANDING_OUT,
    ),
    "halves that overlap": (
        "a row is in two slices",
        "{first_row + half, n_rows - half}",
        "{first_row, n_rows - half}",
        [(recovery, "_SPLIT_SLICE")],
    ),
    "swept upload that is accepted": (
        "was deleted|would not find|no space|Lua",
        "redis.call('ZREM', k_uploads, id) == 0",
        "redis.call('ZREM', k_uploads, id) == 2",
        [(bulk, "_ACCEPT_BULK")],
    ),
    "final prediction that keeps its turn": (
        "has no turn, or two",
        "remove_turn(parent, owner)\n  redis.call('ZREM', k_bulk_open",
        "redis.call('ZREM', k_bulk_open",
        _ENDING,
    ),
    "space that is given back twice": (
        "do not add up",
        "redis.call('HSET', k_stored, id, '0 ' .. owner)",
        "",
        [(bulk, "_RELEASE_SPACE")],
    ),
    "results without a retention": (
        "are kept longer than their prediction",
        "redis.call('EXPIRE', k_results .. parent, ttl)",
        "",
        _COMMIT_SLICES,
    ),
}


QUICKLY_FOUND = ("claim without a new token", "requeue without the sorted set", "retention of an open record")
BULK_QUICKLY_FOUND = ("slices without a limit", "final prediction that keeps its turn")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Test all faults in `make state-machine`, and a few in `make test`."""
    every = metafunc.config.getoption("--machine-steps") is not None
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", list(FAULTS) if every else QUICKLY_FOUND)
    if "bulk_fault" in metafunc.fixturenames:
        metafunc.parametrize("bulk_fault", list(BULK_FAULTS) if every else BULK_QUICKLY_FOUND)


def test_fault_in_a_script_is_found(machine: type[StoreMachine], monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    find(machine, monkeypatch, *FAULTS[fault])


def test_fault_in_a_script_of_bulk_predictions_is_found(
    machine: type[StoreMachine], monkeypatch: pytest.MonkeyPatch, bulk_fault: str
) -> None:
    assert issubclass(BulkMachine, machine)
    find(BulkMachine, monkeypatch, *BULK_FAULTS[bulk_fault])


def find(
    machine: type[StoreMachine],
    monkeypatch: pytest.MonkeyPatch,
    assertion: str,
    right: str,
    faulty: str,
    constants: list[ScriptConstant],
) -> None:
    """Run faulty scripts until an assertion fails."""
    for module, constant in constants:
        source = Script.load(constant.strip("_").lower()).source
        assert source.count(right) == 1
        monkeypatch.setattr(module, constant, Script(source.replace(right, faulty)))
    seeded = seed(QUICK_SEED)(type(f"Seeded{machine.__name__}", (machine,), {}))
    with pytest.raises(AssertionError, match=assertion):
        run(seeded, MAX_STEPS_TO_A_FAULT, derandomize=True, shrink=False)
