"""Chooses the media type of a response from the request's `Accept` headers (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence
from typing import Final

from mimeparse import MimeTypeParseException, best_match

_MAX_CHARACTERS: Final = 1000  # of all headers together; browsers send 200, and parsing 1,000 takes 5 ms


def preferred_type(accept_headers: Sequence[str], offered_types: Sequence[str]) -> str:
    """Return the offered media type that the client prefers.

    Args:
        accept_headers: the values of all `Accept` headers.
        offered_types: media types. The first is the default: it is returned if the client has no preference or accepts
            none of them, or if the headers are invalid or too long.
    """
    return accepted_type(accept_headers, offered_types) or offered_types[0]


def accepted_type(accept_headers: Sequence[str], offered_types: Sequence[str]) -> str | None:
    """Return the offered media type that the client prefers; None if it accepts none of them.

    Args:
        accept_headers: the values of all `Accept` headers.
        offered_types: media types, the default first, as for `preferred_type`.
    """
    wanted = ",".join(accept_headers).lower()
    if len(wanted) > _MAX_CHARACTERS or not wanted.strip():
        return offered_types[0]
    try:
        # Of equally preferred types, `best_match` returns the last.
        return str(best_match(offered_types[::-1], wanted)) or None
    except MimeTypeParseException:
        return offered_types[0]
