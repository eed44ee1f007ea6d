"""Code that gateways and workers share."""
