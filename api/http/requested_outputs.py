"""Reads the member `outputs` of a request body: the outputs of the model that the client requests."""

from typing import Any, Final

from api.http.strict_json import show
from shared.card import ModelCard
from shared.errors import Fault, InvalidRows
from shared.names import Output

OUTPUTS: Final = "outputs"


def read_outputs(asked_for: Any, card: ModelCard) -> tuple[Output, ...]:
    """Return the outputs that a body requests; empty if they are the model's default.

    Raises:
        InvalidRows: the value is not an array of different outputs of the model.
    """
    has = ", ".join(card.outputs)
    if not isinstance(asked_for, list) or not asked_for:
        found = "it is empty" if asked_for == [] else f"{show(asked_for)} is not"
        raise InvalidRows([Fault(f"/{OUTPUTS}", f'"outputs" must be an array of names; {found}. The model has {has}.')])
    faults = [
        Fault(f"/{OUTPUTS}/{index}", f"{show(name)} is not an output of this model, which has {has}.")
        if name not in card.outputs
        else Fault(f"/{OUTPUTS}/{index}", f"{show(name)} is repeated: name each output once.")
        for index, name in enumerate(asked_for[: len(card.outputs) + 1])  # among so many, one is unknown or repeated
        if name not in card.outputs or name in asked_for[:index]
    ]
    if faults:
        raise InvalidRows(faults)
    outputs = tuple(map(Output, asked_for))
    return () if outputs == card.default_outputs else outputs
