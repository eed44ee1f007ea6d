"""Unit tests of `shared/store`."""
