"""The asynchronous client, written by hand; `sepal_client._sync` is generated from it."""
