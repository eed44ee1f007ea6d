"""The gateway's pooled transport on a real server."""

import asyncio
from typing import NoReturn

from shared.store.scripts import Script
from tests.patience import patience
from tests.submissions import GatewayStore

HAVE_RECORDS = Script.load("have_records")


async def test_call_that_is_canceled_at_any_step_is_canceled(store: GatewayStore) -> None:
    async def call_forever() -> NoReturn:
        while True:
            await store.pooled.run(HAVE_RECORDS, ["batch"])

    for n_steps in range(60):
        task = asyncio.create_task(call_forever())
        for _ in range(n_steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=patience())
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert done, f"the cancellation after {n_steps} steps was lost"
        assert task.cancelled()
