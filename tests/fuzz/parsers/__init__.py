"""Fuzzers of the parsers that read what clients send: properties that hold for every input, found with Hypothesis."""
