"""Measures throughput with 1, 2 and 4 worker containers, and scaling down from 4 to 1 under load."""
