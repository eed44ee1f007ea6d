"""The cluster status as computed from successive overviews."""

from collections.abc import Awaitable, Callable
from itertools import chain, repeat

import pytest

from api.cluster.status import ClusterStatus
from shared import errors
from shared.names import Queue
from shared.store.status import BulkOverview, Overview


def overview(
    *,
    gateways: int = 1,
    pool_processes: int = 1,
    bulk_processes: int = 1,
    accepted: int = 0,
    final: int = 0,
    bulk: int = 0,
    bulk_final: int = 0,
    stored: BulkOverview | None = None,
) -> Overview:
    """An overview with rows of the interactive queue and of the bulk queue."""
    return Overview(
        card=None,
        gateways=gateways,
        workers=1,
        pool_processes=pool_processes + bulk_processes,
        queue_processes={Queue.INTERACTIVE: pool_processes, Queue.BULK: bulk_processes},
        accepted_rows={Queue.INTERACTIVE: accepted, Queue.BULK: bulk},
        final_rows={Queue.INTERACTIVE: final, Queue.BULK: bulk_final},
        oldest_seconds=dict.fromkeys(Queue, 0.0),
        dead_letters=0,
        memory_bytes=0,
        memory_limit_bytes=0,
        stored=stored or BulkOverview(),
    )


@pytest.fixture
def retry_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[int]]:
    """Return a function: `Retry-After` after refreshes with (accepted, final) rows, one second apart."""

    async def after(*overviews: tuple[int, int]) -> int:
        remaining = iter(overviews)

        async def read_overview() -> Overview:
            accepted, final = next(remaining)
            return overview(accepted=accepted, final=final)

        cluster = ClusterStatus(read_overview, lambda: True, 60)
        for second in range(len(overviews)):
            monkeypatch.setattr("api.cluster.backlog.time.monotonic", lambda second=second: float(second))
            await cluster.refresh()
        return cluster.backlog.retry_after(Queue.INTERACTIVE)

    return after


@pytest.mark.parametrize(
    ("overviews", "seconds"),
    [
        pytest.param([(5100, 0), (5100, 1000)], 5, id="backlog of 4,100 rows, 1,000 final a second"),
        pytest.param([(100, 0), (100, 100)], 1, id="no backlog"),
        pytest.param([(100, 100)], 1, id="no drain rate yet"),
        pytest.param([(10**9, 0), (10**9, 1)], 60, id="backlog of hours"),
        pytest.param(
            [(500, 0), (500, 100), (500, 500), (500, 500), (501, 501), (1001, 501)], 5, id="no backlog in between"
        ),
    ],
)
async def test_retry_after_is_the_backlog_divided_by_the_drain_rate(
    retry_after: Callable[..., Awaitable[int]], overviews: list[tuple[int, int]], seconds: int
) -> None:
    assert await retry_after(*overviews) == seconds


@pytest.mark.parametrize(
    ("pool_processes", "gateways", "allowed"),
    [(0, 1, 1), (1, 1, 1), (1, 4, 1), (4, 1, 4), (4, 3, 2), (8, 2, 4), (2, 0, 2)],
)
async def test_allowance_is_the_gateways_share_of_the_pool_processes(
    pool_processes: int, gateways: int, allowed: int
) -> None:
    async def read_overview() -> Overview:
        return overview(gateways=gateways, pool_processes=pool_processes)

    cluster = ClusterStatus(read_overview, lambda: True, 60)
    assert cluster.allowance() == 1
    await cluster.refresh()
    assert cluster.allowance() == allowed


async def test_rows_wait_only_for_rows_of_their_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    overviews = iter([overview(accepted=300, bulk=1000), overview(accepted=300, final=100, bulk=1000, bulk_final=20)])

    async def read_overview() -> Overview:
        return next(overviews)

    cluster = ClusterStatus(read_overview, lambda: True, 60)
    assert cluster.backlog.predicted_wait(Queue.BULK) == 0
    for second in range(2):
        monkeypatch.setattr("api.cluster.backlog.time.monotonic", lambda second=second: float(second))
        await cluster.refresh()
    assert cluster.backlog.predicted_wait(Queue.INTERACTIVE) == cluster.backlog.retry_after(Queue.INTERACTIVE) == 2
    assert cluster.backlog.predicted_wait(Queue.BULK) == cluster.backlog.retry_after() == 49


async def test_gateway_is_not_ready_without_a_process_for_interactive_batches() -> None:
    async def read_overview() -> Overview:
        return overview(pool_processes=0)

    cluster = ClusterStatus(read_overview, lambda: True, 60)
    await cluster.refresh()
    assert errors.NoWorker in map(type, cluster.unready_reasons())


async def test_drain_rate_near_zero_gives_a_finite_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    overviews = chain([overview(accepted=300)], repeat(overview(accepted=300, final=100)))

    async def read_overview() -> Overview:
        return next(overviews)

    cluster = ClusterStatus(read_overview, lambda: True, 60)
    for second in range(3000):
        monkeypatch.setattr("api.cluster.backlog.time.monotonic", lambda second=second: float(second))
        await cluster.refresh()
    assert cluster.backlog.predicted_wait(Queue.INTERACTIVE) > 1000
    assert cluster.backlog.retry_after(Queue.INTERACTIVE) == 60


@pytest.mark.parametrize(
    ("overviews", "is_stalled"),
    [
        pytest.param([overview(accepted=9)] * 3, True, id="rows wait and none becomes final"),
        pytest.param([overview(accepted=9, final=number) for number in range(3)], False, id="some become final"),
        pytest.param([overview()] * 3, False, id="no backlog"),
        pytest.param([overview(accepted=9, pool_processes=0)] * 3, False, id="no pool process is loaded"),
        pytest.param([*[overview()] * 2, overview(accepted=9)], False, id="the rows have just arrived"),
        pytest.param(
            [overview(accepted=9, bulk=9, bulk_final=number) for number in range(3)],
            True,
            id="only bulk rows become final",
        ),
        pytest.param(
            [overview(accepted=9, final=number, bulk=9) for number in range(3)],
            False,
            id="bulk rows wait for the others",
        ),
        pytest.param([overview(bulk=9, bulk_processes=0)] * 3, False, id="no process runs the bulk rows"),
    ],
)
async def test_gateway_is_not_ready_while_the_backlog_is_stalled(
    monkeypatch: pytest.MonkeyPatch, overviews: list[Overview], is_stalled: bool
) -> None:
    remaining = iter(overviews)

    async def read_overview() -> Overview:
        return next(remaining)

    cluster = ClusterStatus(read_overview, lambda: True, stalled_after_seconds=50)
    for number in range(3):
        monkeypatch.setattr("api.cluster.backlog.time.monotonic", lambda number=number: number * 30.0)
        await cluster.refresh()
    assert (errors.Stalled in map(type, cluster.unready_reasons())) is is_stalled
