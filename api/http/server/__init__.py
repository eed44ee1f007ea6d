"""The gateway's implementation of HTTP/1.1, with limits on what each connection can use."""
