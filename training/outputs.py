"""The outputs that a fitted pipeline can give, by its own methods."""

from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from shared.columns import Value
from shared.errors import CannotServe
from shared.names import METHODS, Output

_SEARCHES: Final = "sklearn.model_selection."
"""The module of the searches, which answer as the model that they found."""


def outputs_of(pipeline: Any) -> tuple[Output, ...]:
    """List the outputs of which a pipeline has the method.

    Raises:
        CannotServe: there are none.
    """
    has = {output: hasattr(pipeline, method) for output, method in METHODS.items()}
    has[Output.LOG_PROBA] = (has[Output.PROBA] or has[Output.LOG_PROBA]) and is_classifier(pipeline)
    has[Output.LEAVES] = hasattr(_split(pipeline)[1], "apply")
    if not any(has.values()):
        raise CannotServe(
            f"a {type(pipeline).__name__} has no method that Sepal calls, such as predict or transform",
            "Give a fitted pipeline whose last step predicts or transforms.",
        )
    return tuple(output for output in Output if has[output])


def call(pipeline: Any, output: Output, X: Any) -> Any:
    """Call a pipeline's own method for an output.

    Returns:
        An array with one item for each row, or a list of arrays, one for each target.
    """
    if output is Output.LOG_PROBA:
        return _log_proba(pipeline, X)
    if output is not Output.LEAVES:
        return _arrays(pipeline, getattr(pipeline, METHODS[output])(X))
    transforms, last = _split(pipeline)
    for transform in transforms:
        X = transform.transform(X)
    return np.asarray(last.apply(X))


def classes_of(pipeline: Any) -> tuple[Any, ...] | None:
    """Return the classes of a classifier as JSON has them: a tuple of tuples if it has several targets.

    Raises:
        CannotServe: JSON has no such class.
    """
    classes = getattr(pipeline, "classes_", None)
    if isinstance(classes, list):
        return tuple(_plain(each) for each in classes)
    return None if classes is None else _plain(classes)


def _log_proba(pipeline: Any, X: Any) -> Any:
    if hasattr(pipeline, "predict_log_proba"):
        return _arrays(pipeline, pipeline.predict_log_proba(X))
    proba = _arrays(pipeline, pipeline.predict_proba(X))
    return [np.log(each) for each in proba] if isinstance(proba, list) else np.log(proba)


def _arrays(pipeline: Any, found: Any) -> Any:
    if isinstance(found, list) and isinstance(getattr(pipeline, "classes_", None), list):
        return [np.asarray(each) for each in found]
    return found.toarray() if hasattr(found, "toarray") else np.asarray(found)


def _split(pipeline: Any) -> tuple[list[Any], Any]:
    """Return the transforms of a pipeline and its last step, inside searches and nested pipelines too."""
    if type(pipeline).__module__.startswith(_SEARCHES) and hasattr(pipeline, "best_estimator_"):
        return _split(pipeline.best_estimator_)
    if type(pipeline) is not Pipeline:
        return [], pipeline
    *steps, last = (step for _, step in pipeline.steps)
    inner, last = _split(last)
    return [step for step in steps if step not in (None, "passthrough")] + inner, last


def _plain(classes: Any) -> tuple[Value, ...]:
    if classes.dtype.kind == "M":
        classes = np.datetime_as_string(classes)  # as they come out
    found = tuple(_plain_value(value) for value in classes.tolist())
    if other := [value for value in found if not isinstance(value, Value)]:
        raise CannotServe(
            f"a class is a {type(other[0]).__name__}",
            "Fit the pipeline on classes that are texts, numbers, booleans, dates or datetimes.",
        )
    return found


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value
