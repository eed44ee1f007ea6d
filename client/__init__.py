"""Sepal's clients: over its public HTTP interface alone."""
