"""The tasks that run beside the requests of a gateway."""

import asyncio

from api.app import _run_in_background


async def test_task_that_swallows_its_first_cancellation_is_canceled_again() -> None:
    cancellations = 0

    async def swallow_one() -> None:
        nonlocal cancellations
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancellations += 1
                if cancellations == 2:
                    raise

    async with _run_in_background(swallow_one()):
        await asyncio.sleep(0)
    assert cancellations == 2
