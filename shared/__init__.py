"""What the gateway and the worker must agree on."""
