"""The result of a prediction: one item for each row in each output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy

OUTPUTS: Final = ("prediction", "log_proba", "proba", "decision", "scores", "transform", "leaves")
_NOT_FINITE: Final = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}
_DURATION_PREFIX: Final = "dur="
_ROW_PART: Final = 2  # position of the row in a pointer such as /data/5


@dataclass(frozen=True)
class ModelRef:
    """The model that a prediction was made with."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Result:
    """The result of a succeeded prediction. The item of a row without a result is None."""

    id: str
    model: ModelRef
    outputs: Mapping[str, list[Any]]
    """For each output name, a list with an item for each row."""
    carried: Mapping[str, list[Any]] = field(default_factory=dict)
    """The carried columns: for each name, a list with an item for each row."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """The errors of rows without a result, by row index; with `on_error="report"`."""
    queue_ms: float | None = None
    """Milliseconds in the queue."""
    predict_ms: float | None = None
    """Milliseconds in the pipeline."""

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values()), ()))

    @property
    def prediction(self) -> list[Any]:
        """A label or number for each row; a list of several targets."""
        return self._get_output("prediction")

    @property
    def log_proba(self) -> list[Any]:
        """Natural logarithms of the probabilities, in the order of the model's classes."""
        return self._get_output("log_proba")

    @property
    def proba(self) -> list[Any]:
        """Probabilities, in the order of the model's classes."""
        return self._get_output("proba")

    @property
    def decision(self) -> list[Any]:
        """The values of `decision_function`."""
        return self._get_output("decision")

    @property
    def scores(self) -> list[Any]:
        """The values of `score_samples`."""
        return self._get_output("scores")

    @property
    def transform(self) -> list[Any]:
        """The transformed rows."""
        return self._get_output("transform")

    @property
    def leaves(self) -> list[Any]:
        """The index of the leaf in each tree."""
        return self._get_output("leaves")

    def array(self, name: str) -> "numpy.ndarray[Any, Any]":
        """Return an output as a NumPy array of shape (rows,) or (rows, values), with NaN for rows without a result.

        Raises:
            AttributeError: the result does not contain this output.
        """
        import numpy

        values = self._get_output(name)
        known = next((value for value in values if value is not None), None)
        if known is None or None not in values or not _is_numeric(known):
            return numpy.asarray(values)
        missing = [float("nan")] * len(known) if isinstance(known, list) else float("nan")
        return numpy.asarray([missing if value is None else value for value in values])

    def _get_output(self, name: str) -> list[Any]:
        if name not in self.outputs:
            has = ", ".join(self.outputs) or "none"
            raise AttributeError(f"This result has no {name!r}, only {has}: request it with outputs=[{name!r}].")
        return self.outputs[name]


def read_result(body: Mapping[str, Any], server_timing: str = "") -> Result:
    """Parse a result.

    Args:
        body: the JSON of the response.
        server_timing: the header `Server-Timing`.

    Raises:
        KeyError, TypeError, ValueError: the body has another form.
    """
    timings = _parse_server_timing(server_timing)
    return Result(
        id=str(body["id"]),
        model=read_model_ref(body["model"]),
        outputs={name: _convert_non_finite(body[name]) for name in OUTPUTS if name in body},
        carried=dict(body.get("carried", {})),
        errors={int(each["pointer"].split("/")[_ROW_PART]): str(each["detail"]) for each in body.get("errors", ())},
        queue_ms=timings.get("queue"),
        predict_ms=timings.get("predict"),
    )


def join_pages(pages: Sequence[Result]) -> Result:
    """Join the pages of a result, of which there is at least one, in order."""
    first = pages[0]
    return Result(
        id=first.id,
        model=first.model,
        outputs={name: _concatenate([page.outputs[name] for page in pages]) for name in first.outputs},
        carried={name: _concatenate([page.carried[name] for page in pages]) for name in first.carried},
        errors={row: reason for page in pages for row, reason in page.errors.items()},
    )


def read_model_ref(body: Mapping[str, Any]) -> ModelRef:
    """Parse the name, version and digest of a model.

    Raises:
        KeyError: one is missing.
    """
    return ModelRef(str(body["name"]), str(body["version"]), str(body["digest"]))


def _concatenate(lists: Sequence[list[Any]]) -> list[Any]:
    return [item for items in lists for item in items]


def _convert_non_finite(items: list[Any]) -> list[Any]:
    """Convert `"-Infinity"`, `"Infinity"` and `"NaN"` to floats, unless the items contain other strings (labels)."""
    return _to_floats(items) if _find_strings(items) <= _NOT_FINITE.keys() else items


def _find_strings(items: list[Any]) -> set[str]:
    found = {item for item in items if isinstance(item, str)}
    return found.union(*(_find_strings(item) for item in items if isinstance(item, list)))


def _to_floats(items: list[Any]) -> list[Any]:
    return [
        _to_floats(item) if isinstance(item, list) else _NOT_FINITE[item] if isinstance(item, str) else item
        for item in items
    ]


def _is_numeric(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, (int, float)) and not isinstance(first, bool)


def _parse_server_timing(header: str) -> dict[str, float]:
    """Return the milliseconds by name from `queue;dur=1.5, predict;dur=0.8`."""
    found = {}
    for entry in header.split(","):
        name, *parameters = [part.strip() for part in entry.split(";")]
        for parameter in parameters:
            if parameter.startswith(_DURATION_PREFIX):
                found[name] = float(parameter.removeprefix(_DURATION_PREFIX))
    return found
