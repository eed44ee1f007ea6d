"""The query parameter `meta`, and the member `meta` that it adds to a result: the provenance of its batches."""

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from pydantic import TypeAdapter, ValidationError

from shared.card import ModelRef
from shared.errors import InvalidParameter
from shared.store.lookups import Prediction
from shared.store.records import Provenance

META_PARAMETER: Final = "meta"
_BOOLEAN_ADAPTER: Final = TypeAdapter(bool)


def is_meta_requested(query_string: bytes) -> bool:
    """Return the value of the parameter in a query string, by the rules of FastAPI; false by default.

    Raises:
        InvalidParameter: its value is neither true nor false.
    """
    values = [
        value
        for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
        if name == META_PARAMETER
    ]
    try:
        return bool(values) and _BOOLEAN_ADAPTER.validate_python(values[-1])
    except ValidationError as error:
        raise InvalidParameter(f"`{META_PARAMETER}`: {error.errors()[0]['msg']}.") from None


def encode_meta(prediction: Prediction) -> bytes:
    """Return the provenance of a result as JSON."""
    digest = ModelRef.model_validate_json(prediction.model).digest
    batches = [_provenance_members(provenance) for provenance in prediction.provenance]
    shown: dict[str, Any] = batches[0] if len(batches) == 1 else {"batches": batches}
    return msgspec.json.encode({"digest": digest, **shown})


def _provenance_members(provenance: Provenance) -> dict[str, Any]:
    return {
        "attempt": provenance.attempt,
        "rows": provenance.n_rows,
        "worker": provenance.worker,
        "versions": provenance.versions,
    }
