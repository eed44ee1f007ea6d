"""What keeps `make run` from starting."""


class CannotStart(Exception):
    """The message says what to change."""
