"""`python -m api.encode MODEL_DIR`: encodes the rows of a request body on stdin as a gateway does, as one batch."""

import sys
from pathlib import Path

import msgspec

from api.http.rows import BodyReader
from shared.card import read_card
from shared.errors import InvalidRows, SepalError
from shared.rows import EncodedRows

_NO_LIMIT = sys.maxsize


def main() -> None:
    """Write the encoded rows, as MessagePack, to stdout; on a refusal, print the error to stderr and exit with 1."""
    card = read_card(Path(sys.argv[1]))
    try:
        parts = BodyReader(_NO_LIMIT, _NO_LIMIT)(sys.stdin.buffer.read(), card).rows
    except InvalidRows as error:
        sys.exit(f"a client could not send the rows of the data: {error.faults[0].pointer}: {error.faults[0].detail}")
    except SepalError as error:
        sys.exit(f"a client could not send the rows of the data: {error}")
    whole = EncodedRows(b"".join(part.content for part in parts), sum(part.n_rows for part in parts), card.encoding)
    sys.stdout.buffer.write(msgspec.msgpack.encode(whole))


if __name__ == "__main__":
    main()
