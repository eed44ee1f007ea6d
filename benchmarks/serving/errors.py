"""What can go wrong in a run.

CannotMeasure        nothing can be measured at all: the run ends
SystemFailed         one system did: it is in the results as failed, and the run goes on
"""


class CannotMeasure(Exception):
    """Something that every measurement needs is missing; the message says how to get it."""


class SystemFailed(Exception):
    """A system did not start, answered wrongly or stopped answering; the message says why, with the end of its log."""
