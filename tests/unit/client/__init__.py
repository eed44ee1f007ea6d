"""Tests of the client, and of its project file, that need no gateway."""
