"""Faults between the library `sepal_client` and the gateways, at random moments of a client's operations."""
