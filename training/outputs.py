"""Lists the outputs of a fitted pipeline, and computes them with its own methods."""

from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from shared.columns import Value
from shared.errors import CannotServe
from shared.names import METHODS, Output

_SEARCH_MODULE_PREFIX: Final = "sklearn.model_selection."
"""The module of the hyperparameter searches, which predict with the best model that they found."""


def find_outputs(pipeline: Any) -> tuple[Output, ...]:
    """Return the outputs that a pipeline has methods for.

    Raises:
        CannotServe: there are none.
    """
    if isinstance(pipeline, type):
        raise CannotServe(f"{pipeline.__name__} is a class", "Give an instance that is fitted.")
    has = {output: hasattr(pipeline, method) for output, method in METHODS.items()}
    has[Output.LOG_PROBA] = (has[Output.PROBA] or has[Output.LOG_PROBA]) and is_classifier(pipeline)
    has[Output.LEAVES] = hasattr(_split_steps(pipeline)[1], "apply")
    if not any(has.values()):
        raise CannotServe(
            f"a {type(pipeline).__name__} has no method that Sepal calls, such as predict or transform",
            "Give a fitted pipeline whose last step predicts or transforms.",
        )
    return tuple(output for output in Output if has[output])


def compute_output(pipeline: Any, output: Output, X: Any) -> Any:
    """Compute an output with the pipeline's own method.

    Returns:
        An array with one item for each row, or a list of arrays, one for each target.
    """
    if output is Output.LOG_PROBA:
        return _compute_log_proba(pipeline, X)
    if output is not Output.LEAVES:
        return _to_arrays(pipeline, getattr(pipeline, METHODS[output])(X))
    transforms, last = _split_steps(pipeline)
    for transform in transforms:
        X = transform.transform(X)
    return np.asarray(last.apply(X))


def find_classes(pipeline: Any) -> tuple[Any, ...] | None:
    """Return the classes of a classifier as JSON values: a tuple of tuples if it has several targets.

    Raises:
        CannotServe: JSON cannot represent a class.
    """
    classes = getattr(pipeline, "classes_", None)
    if classes is None:
        return None
    if isinstance(classes, list) and all(isinstance(each, np.ndarray) for each in classes):  # several targets
        return tuple(_to_json_values(each) for each in classes)
    return _to_json_values(np.asarray(classes))


def _compute_log_proba(pipeline: Any, X: Any) -> Any:
    if hasattr(pipeline, "predict_log_proba"):
        return _to_arrays(pipeline, pipeline.predict_log_proba(X))
    proba = _to_arrays(pipeline, pipeline.predict_proba(X))
    return [np.log(each) for each in proba] if isinstance(proba, list) else np.log(proba)


def _to_arrays(pipeline: Any, output: Any) -> Any:
    if isinstance(output, list) and isinstance(getattr(pipeline, "classes_", None), list):
        return [np.asarray(each) for each in output]
    return output.toarray() if hasattr(output, "toarray") else np.asarray(output)


def _split_steps(pipeline: Any) -> tuple[list[Any], Any]:
    """Return the transforms of a pipeline and its last step, also of searches and nested pipelines."""
    if type(pipeline).__module__.startswith(_SEARCH_MODULE_PREFIX) and hasattr(pipeline, "best_estimator_"):
        return _split_steps(pipeline.best_estimator_)
    if type(pipeline) is not Pipeline:
        return [], pipeline
    *steps, last = (step for _, step in pipeline.steps)
    inner, last = _split_steps(last)
    return [step for step in steps if step not in (None, "passthrough")] + inner, last


def _to_json_values(classes: Any) -> tuple[Value, ...]:
    if classes.dtype.kind == "M":
        classes = np.datetime_as_string(classes)  # the form in which predictions contain them
    found = tuple(_to_json_value(value) for value in classes.tolist())
    if other := [value for value in found if not isinstance(value, Value)]:
        raise CannotServe(
            f"a class is a {type(other[0]).__name__}",
            "Fit the pipeline on classes that are strings, numbers, booleans, dates or datetimes.",
        )
    return found


def _to_json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value
