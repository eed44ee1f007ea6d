"""Compares bulk predictions with a local script, and with one large request to a service without a queue."""
