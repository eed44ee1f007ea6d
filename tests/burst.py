"""Sends many requests concurrently, each on a separate connection."""

import asyncio
import json
from typing import Any


async def predict_many(port: int, rows: Any, n_requests: int, prefer: str = "") -> list[tuple[int, Any]]:
    """Send the same rows `n_requests` times at once; return the status and the decoded body of each response."""
    body = json.dumps({"data": rows}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: sepal\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Prefer: {prefer}\r\nConnection: close\r\n\r\n".encode() + body
    return await asyncio.gather(*(_predict(port, request) for _ in range(n_requests)))


async def _predict(port: int, request: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        response = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
