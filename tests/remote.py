"""Celery as somebody else uses it, who writes messages and commands to the same broker."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.pools import reset


@contextmanager
def celery_app(url: str) -> Iterator[Celery]:
    """An application whose connections are closed at the end: its own `close` leaves them to kombu's pools."""
    app = Celery("sepal", broker=url, set_as_current=False)
    try:
        yield app
    finally:
        app.close()
        reset()
