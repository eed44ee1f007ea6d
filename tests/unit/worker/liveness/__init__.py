"""Unit tests of `worker/liveness`."""
