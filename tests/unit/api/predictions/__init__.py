"""Unit tests of `api/predictions`."""
