"""Exports metrics and traces, for gateways and workers."""
