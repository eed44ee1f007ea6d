"""Tests that build and run the containers."""
