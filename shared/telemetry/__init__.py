"""The export of metrics and traces, as the gateway and the worker share it."""
