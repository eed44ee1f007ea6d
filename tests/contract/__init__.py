"""Tests of one side of an interface against the real other side."""
