"""Matches the columns of an upload by name to the columns of the model card and to the carried columns."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

from api.http.row_readers import format_column_names
from api.http.values import expected_values, nearest_suggestion
from shared.bulk import MAX_LISTED_ERRORS
from shared.columns import Column
from shared.errors import Fault, InvalidParameter, InvalidRows

_MAX_SUGGESTIONS: Final = 5  # each takes up to 2 ms
_SHOWN_CHARACTERS: Final = 60
_RESULT_COLUMN: Final = re.compile(
    r"prediction(_\d+)?|(log_)?proba_.*|decision(_.*)?|scores|(transform|leaves)_\d+|error", re.DOTALL
)


class MatchedColumns(NamedTuple):
    """The positions of the columns in the upload."""

    features: tuple[int | None, ...]
    """In the order of the card; None for a nullable column that the upload does not have."""
    carried: tuple[int, ...]


def check_carried_names(names: Sequence[str]) -> None:
    """Check the names of the columns to carry.

    Raises:
        InvalidParameter: a name is that of a result column, or occurs twice.
    """
    for index, name in enumerate(names):
        if _RESULT_COLUMN.fullmatch(name):
            raise InvalidParameter(f"`carry`: results have a column {displayed_name(name)} of their own: rename yours.")
        if name in names[:index]:
            raise InvalidParameter(f"`carry` names {displayed_name(name)} twice.")


def match_columns(
    names: Sequence[str], columns: Sequence[Column], carried_names: Sequence[str], place: str
) -> MatchedColumns:
    """Find the columns of the model card and the carried columns in an upload.

    Args:
        names: the column names of the upload.
        columns: the columns of the model card.
        carried_names: the names of the columns to carry.
        place: the words before a column name in an error, such as "Line 1, column".

    Raises:
        InvalidRows: a column is unknown, missing or duplicate.
    """
    indices = {name: index for index, name in enumerate(names)}
    faults = list(islice(_column_faults(names, columns, carried_names), MAX_LISTED_ERRORS))
    if faults:
        raise InvalidRows([Fault("", f"{place} {displayed_name(name)}: {detail}") for name, detail in faults])
    return MatchedColumns(
        tuple(indices.get(column.name) for column in columns), tuple(indices[name] for name in carried_names)
    )


def displayed_name(name: str) -> str:
    """Return a column name for a message, cut to 60 characters; `""` for an empty name."""
    return f"{name[:_SHOWN_CHARACTERS]}…" if len(name) > _SHOWN_CHARACTERS else name or '""'


def _column_faults(
    names: Sequence[str], columns: Sequence[Column], carried_names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    known = {column.name: column for column in columns}
    counts = Counter(names)
    for column in columns:
        if column.name not in counts and not column.nullable:
            yield column.name, f"is missing: send {expected_values(column)}."
    for name in carried_names:
        if name not in counts:
            yield name, "is missing, although `carry` names it."
    yield from _unknown_column_faults(
        [name for name in counts if name not in known and name not in carried_names], list(known)
    )
    for name, count in counts.items():
        if count > 1:
            yield name, f"occurs {count} times: send each column once."


def _unknown_column_faults(names: Sequence[str], known_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(names):
        near = nearest_suggestion(name, known_names) if index < _MAX_SUGGESTIONS else ""
        if not near and index == 0:
            near = f" The columns are: {format_column_names(known_names)}."
        carry = quote(name[:_SHOWN_CHARACTERS], safe="")
        yield name, f"the model has no such column: leave it out, or carry it to the result with ?carry={carry}.{near}"
