"""Submits predictions, waits for their results and cancels them."""
