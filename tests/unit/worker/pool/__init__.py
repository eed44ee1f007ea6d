"""Unit tests of `worker/pool`."""
