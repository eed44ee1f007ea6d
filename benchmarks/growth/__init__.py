"""Measures how cost grows with batch size, queued predictions, gateway processes and artifact size."""
