"""A Celery application of another program that uses the same broker."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.pools import reset


@contextmanager
def celery_app(url: str) -> Iterator[Celery]:
    """Yield an application, and close its connections at the end: `Celery.close` leaves them open in kombu's pools."""
    app = Celery("sepal", broker=url, set_as_current=False)
    try:
        yield app
    finally:
        app.close()
        reset()
