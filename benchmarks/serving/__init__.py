"""Compares Sepal with its peers: the same pipeline and request, on one machine, in interleaved rounds."""
