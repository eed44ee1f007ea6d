"""A typed client and a command line for Sepal's public HTTP API."""
