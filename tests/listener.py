"""Somebody who listens on a reply channel, and does nothing with what he hears."""

import asyncio


class Listener:
    """Keeps what is published on its channel."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    def receive(self, message: bytes) -> None:
        self.messages.put_nowait(message)

    async def recheck_all(self) -> None:
        pass
