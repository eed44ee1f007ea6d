"""The HTTP/1.1 protocol of the gateway: one connection of a client, and the limits of what it can hold."""
