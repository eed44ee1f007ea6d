"""The error that keeps `make run` from starting."""


class CannotStart(Exception):
    """`make run` cannot start; the message contains the remedy."""
