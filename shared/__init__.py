"""Code that the gateway and the worker share."""
