"""Unit tests of `worker/celery`."""
