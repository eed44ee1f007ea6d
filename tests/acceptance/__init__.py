"""Acceptance tests: the commands of the README, end to end."""
