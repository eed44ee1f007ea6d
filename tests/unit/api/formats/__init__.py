"""The table server and its formats."""
