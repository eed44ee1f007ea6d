"""Generators of documentation and figures."""
