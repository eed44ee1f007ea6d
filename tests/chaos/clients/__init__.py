"""Faults between the library `sepal_client` and the gateways, at random moments of what a client does."""
