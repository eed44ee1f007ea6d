"""Scripts that generate the client, documentation and figures."""
