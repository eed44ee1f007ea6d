"""Tests that run in this process only."""
