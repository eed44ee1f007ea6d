"""Faults in the middle of a bulk prediction, beside the steady traffic of the chaos run."""
