"""The errors of a run.

CannotMeasure        nothing can be measured: the run ends
SystemFailed         one system failed: the results record it, and the run continues
"""


class CannotMeasure(Exception):
    """Something that every measurement needs is missing; the message says what to do."""


class SystemFailed(Exception):
    """A system did not start, returned a wrong result or stopped responding; the message has the end of its log."""
