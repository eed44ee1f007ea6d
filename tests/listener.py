"""A Redis subscriber for tests."""

import asyncio


class Listener:
    """Records the messages of its channel."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    def receive(self, message: bytes) -> None:
        self.messages.put_nowait(message)

    async def recheck_all(self) -> None:
        pass
