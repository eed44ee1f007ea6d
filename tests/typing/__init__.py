"""Programs of users, which type checkers read and nothing runs: what is inferred of the client's public names.

`make check` reads all of them, `tests/acceptance/test_client_distribution.py` those that need no tables as users do.
"""
