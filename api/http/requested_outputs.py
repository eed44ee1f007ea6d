"""Reads the member `outputs` of a request body: the outputs of the model that the client requests."""

from typing import Any, Final

from api.http.strict_json import to_short_json
from shared.card import ModelCard
from shared.errors import Fault, InvalidRows
from shared.names import Output

OUTPUTS: Final = "outputs"


def read_outputs(requested_names: Any, card: ModelCard) -> tuple[Output, ...]:
    """Return the outputs that a body requests; empty if they are the model's default.

    Raises:
        InvalidRows: the value is not an array of different outputs of the model.
    """
    has = ", ".join(card.outputs)
    if not isinstance(requested_names, list) or not requested_names:
        found = "it is empty" if requested_names == [] else f"{to_short_json(requested_names)} is not"
        raise InvalidRows([Fault(f"/{OUTPUTS}", f'"outputs" must be an array of names; {found}. The model has {has}.')])
    faults = [
        Fault(f"/{OUTPUTS}/{index}", f"{to_short_json(name)} is not an output of this model, which has {has}.")
        if name not in card.outputs
        else Fault(f"/{OUTPUTS}/{index}", f"{to_short_json(name)} is repeated: name each output once.")
        for index, name in enumerate(
            requested_names[: len(card.outputs) + 1]
        )  # among so many, one is unknown or repeated
        if name not in card.outputs or name in requested_names[:index]
    ]
    if faults:
        raise InvalidRows(faults)
    outputs = tuple(map(Output, requested_names))
    return () if outputs == card.default_outputs else outputs
