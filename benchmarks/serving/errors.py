"""The errors of a run.

CannotMeasure        nothing can be measured: the run ends
SystemFailed         one system failed: the results record it, and the run continues
"""


class CannotMeasure(Exception):
    """A requirement of all measurements is missing; the message contains the remedy."""


class SystemFailed(Exception):
    """A system did not start, returned a wrong result or stopped responding; the message has the end of its log."""
