"""Converts the `JobRefused` of a table process to an error of `shared.errors`."""

from collections.abc import Sequence
from typing import Final

from api.bulk.wire import JobRefused
from shared.errors import InvalidRows, MalformedUpload, PredictionGone, RequestRefused, SepalError

_Refusal = type[RequestRefused] | type[PredictionGone]
_REFUSALS: Final[Sequence[_Refusal]] = (*RequestRefused.__subclasses__(), PredictionGone)
_ERRORS_BY_CODE: Final = {error.code: error for error in _REFUSALS}


def error_from_refusal(refusal: JobRefused) -> SepalError:
    """Return the error with the code, detail and faults of `refusal`."""
    faults = list(refusal.faults)
    if refusal.code == InvalidRows.code:
        return InvalidRows(faults)
    if refusal.code == MalformedUpload.code:
        return MalformedUpload(refusal.detail, faults)
    return _ERRORS_BY_CODE[refusal.code](refusal.detail)
