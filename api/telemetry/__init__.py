"""A gateway's metrics and traces."""
