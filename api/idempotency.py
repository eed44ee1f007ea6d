"""`Idempotency-Key`: the same request sent twice is one prediction (draft-ietf-httpapi-idempotency-key-header)."""

import re
from hashlib import sha256
from typing import Final

from shared.errors import InvalidIdempotencyKey
from shared.store.idempotency import IdempotencyKey

# A structured field's string (RFC 9651, section 3.3.3); many clients leave the quotes out.
_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE: Final = re.compile(rb"[!#-~]{1,255}")
PATTERN: Final = f"^({_QUOTED.pattern.decode()}|{_BARE.pattern.decode()})$"
"""Either of them, for the schema."""


def read_idempotency_key(header: bytes, client: bytes, body: bytes) -> IdempotencyKey:
    """Read the header's value.

    Args:
        header: its value.
        client: what tells one client from another: their keys have nothing to do with one another.
        body: of the request.

    Raises:
        InvalidIdempotencyKey: it is not a string.
    """
    value = header.strip()
    quoted = _QUOTED.fullmatch(value)
    key = quoted[1] if quoted else value
    if not quoted and not _BARE.fullmatch(value):
        raise InvalidIdempotencyKey
    digest = sha256(b"%d:%b%b" % (len(client), client, key)).hexdigest()
    return IdempotencyKey(digest, sha256(body).hexdigest())
