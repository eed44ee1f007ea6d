"""Unit tests of `api/http/server`."""
