# Written by `python -m tools.sync_client`: change sepal_client/_async instead.
"""The asynchronous client, written by hand; `sepal_client._sync` is generated from it."""
