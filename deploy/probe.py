"""`python -I -S deploy/probe.py URL`: exit 0 if a server answers 200, which is what containers' health checks ask.

It imports next to nothing, because a check runs every few seconds for as long as its container: docs/images.md.
"""

import socket
import sys

_TIMEOUT_SECONDS = 4
_SHOWN_BYTES = 2000


def main(url: str) -> None:
    """Ask once, and say what else was answered."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), _TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as answer:
                status = answer.readline()
                if status.split()[1:2] != [b"200"]:
                    sys.exit((status + answer.read(_SHOWN_BYTES)).decode(errors="replace") or f"{url}: no answer")
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
