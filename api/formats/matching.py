"""Matches the columns of an upload to those of the model card and to the carried ones, by name."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

from api.http.row_readers import show_names
from api.http.values import expected, nearest
from shared.bulk import MAX_LISTED_ERRORS
from shared.columns import Column
from shared.errors import Fault, InvalidParameter, InvalidRows

_MAX_SUGGESTIONS: Final = 5  # each takes up to 2 ms
_SHOWN_CHARACTERS: Final = 60
_RESULT_COLUMN: Final = re.compile(
    r"prediction(_\d+)?|(log_)?proba_.*|decision(_.*)?|scores|(transform|leaves)_\d+|error", re.DOTALL
)


class MatchedColumns(NamedTuple):
    """Where the columns stand in the upload."""

    features: tuple[int | None, ...]
    """By the card's order; None for a nullable column that the upload does not have."""
    carried: tuple[int, ...]


def check_carried(names: Sequence[str]) -> None:
    """Check the names of the columns to carry.

    Raises:
        InvalidParameter: the result has a column of such a name, or one is named twice.
    """
    for index, name in enumerate(names):
        if _RESULT_COLUMN.fullmatch(name):
            raise InvalidParameter(f"`carry`: results have a column {displayed_name(name)} of their own: rename yours.")
        if name in names[:index]:
            raise InvalidParameter(f"`carry` names {displayed_name(name)} twice.")


def match_columns(
    names: Sequence[str], columns: Sequence[Column], carried: Sequence[str], place: str
) -> MatchedColumns:
    """Match the names of an upload's columns.

    Args:
        names: the columns of the upload.
        columns: those of the model card.
        carried: the names of those to carry.
        place: what stands before a name in a refusal, such as "Line 1, column".

    Raises:
        InvalidRows: a column is unknown, missing or there twice.
    """
    indices = {name: index for index, name in enumerate(names)}
    faults = list(islice(_column_faults(names, columns, carried), MAX_LISTED_ERRORS))
    if faults:
        raise InvalidRows([Fault("", f"{place} {displayed_name(name)}: {detail}") for name, detail in faults])
    return MatchedColumns(
        tuple(indices.get(column.name) for column in columns), tuple(indices[name] for name in carried)
    )


def displayed_name(name: str) -> str:
    """Write the name of a column for a message, cut to a readable length; an empty one is `""`."""
    return f"{name[:_SHOWN_CHARACTERS]}…" if len(name) > _SHOWN_CHARACTERS else name or '""'


def _column_faults(
    names: Sequence[str], columns: Sequence[Column], carried: Sequence[str]
) -> Iterator[tuple[str, str]]:
    known = {column.name: column for column in columns}
    counts = Counter(names)
    for column in columns:
        if column.name not in counts and not column.nullable:
            yield column.name, f"is missing: send {expected(column)}."
    for name in carried:
        if name not in counts:
            yield name, "is missing, and the query parameter `carry` names it."
    yield from _unknown_column_faults(
        [name for name in counts if name not in known and name not in carried], list(known)
    )
    for name, count in counts.items():
        if count > 1:
            yield name, f"stands there {count} times: send each column once."


def _unknown_column_faults(names: Sequence[str], known: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(names):
        near = nearest(name, known) if index < _MAX_SUGGESTIONS else ""
        if not near and index == 0:
            near = f" The columns are: {show_names(known)}."
        carry = quote(name[:_SHOWN_CHARACTERS], safe="")
        yield name, f"the model has no such column: leave it out, or carry it to the result with ?carry={carry}.{near}"
