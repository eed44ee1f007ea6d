"""Tests with a real broker, real worker processes and HTTP over sockets."""
