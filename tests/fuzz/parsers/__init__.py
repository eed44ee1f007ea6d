"""Fuzzers of the parsers of client input: properties that hold for every input, tested with Hypothesis."""
