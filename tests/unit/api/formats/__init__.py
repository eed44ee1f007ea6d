"""Tests of the processes that read and write tables."""
