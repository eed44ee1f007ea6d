"""Faults during a bulk prediction, with the steady traffic of the chaos run."""
