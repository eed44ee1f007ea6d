"""Sepal and its peers side by side: the same pipeline, the same request, one machine, interleaved rounds."""
