"""Writes the rows of a result in a format."""

from typing import Any

from api.bulk.wire import WriteResult
from shared.objects import ObjectStore


def write_result(job: WriteResult, sink: Any, store: ObjectStore) -> None:
    """Write the rows that a job asks for into a sink."""
    sink.write(job.head)
    store.size(job.source.key)
