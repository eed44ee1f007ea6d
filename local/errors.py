"""The error that keeps `make run` from starting."""


class CannotStart(Exception):
    """`make run` cannot start; the message says what to change."""
