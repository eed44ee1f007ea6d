"""Unit tests of `local`."""
