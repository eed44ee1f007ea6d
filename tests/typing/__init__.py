"""Programs that only type checkers read: they check the types inferred from the client's public names.

`make check` reads all of them, `tests/acceptance/test_client_distribution.py` those that need no tables as users do.
"""
