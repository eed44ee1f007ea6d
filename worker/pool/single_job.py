"""Makes a fitted pipeline predict in one thread of its own process: pool processes provide the parallelism."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

_METHODS: Final = ("fit", "transform", "predict", "predict_proba")
"""An object with one of these methods is a model: it may have `n_jobs` or contain other models."""


def use_single_job(pipeline: Any) -> None:
    """Set `n_jobs` to 1 in a pipeline and in every model that its parameters and fitted attributes contain.

    Several jobs would also add the probabilities of a forest's trees in the order in which threads finish, so the last
    bits would change from call to call. Only stored attributes are read, since computed ones can be slow, such as
    `estimators_samples_`.
    """
    seen: set[int] = set()
    to_visit = [pipeline]
    while to_visit:
        value = to_visit.pop()
        parts = _contained_values(value)
        if parts is None or id(value) in seen:
            continue
        seen.add(id(value))
        if _is_model(value) and vars(value).get("n_jobs", 1) != 1:
            vars(value)["n_jobs"] = 1
        to_visit.extend(parts)


def _contained_values(value: Any) -> Iterable[Any] | None:
    """Return what a value contains, or None if it cannot contain a model."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set)):
        return value
    if isinstance(value, np.ndarray):
        return value.ravel() if value.dtype == object else None
    return list(vars(value).values()) if _is_model(value) else None


def _is_model(value: Any) -> bool:
    return hasattr(value, "__dict__") and any(hasattr(type(value), method) for method in _METHODS)
