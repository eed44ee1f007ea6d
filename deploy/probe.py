"""The containers' health check, `python -I -S deploy/probe.py URL`: exits with 0 if the HTTP status is 200.

It imports only `socket` and `sys`, because it runs every few seconds in every container: docs/images.md.
"""

import socket
import sys

_TIMEOUT_SECONDS = 4
_SHOWN_BYTES = 2000


def main(url: str) -> None:
    """Send one GET request; exit with the response or the error as the message if the status is not 200."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), _TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as response:
                status = response.readline()
                if status.split()[1:2] != [b"200"]:
                    sys.exit((status + response.read(_SHOWN_BYTES)).decode(errors="replace") or f"{url}: no response")
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
