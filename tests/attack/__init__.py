"""Attacks a gateway through raw sockets, with requests that no HTTP library would send."""
