"""Unit tests of `api/cluster`."""
