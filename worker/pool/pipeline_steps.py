"""Splits a fitted pipeline into its transforms and the model that predicts.

scikit-learn is imported in functions only, because only pool processes may import it.
"""

from importlib import import_module
from typing import Any, Final

# Their predict, predict_proba and predict_log_proba only call those of `best_estimator_`.
_SEARCH_CLASSES: Final = (
    "sklearn.model_selection.GridSearchCV",
    "sklearn.model_selection.RandomizedSearchCV",
    "sklearn.experimental.enable_halving_search_cv.HalvingGridSearchCV",  # model_selection has no public name for it
    "sklearn.experimental.enable_halving_search_cv.HalvingRandomSearchCV",
)


def split_steps(pipeline: Any) -> tuple[list[Any], Any]:
    """Split a pipeline into its transforms and its last step, so that rows are transformed once for both outputs.

    `Pipeline.predict` and `Pipeline.predict_log_proba` each call every transform and then the last step. A last step
    that is a pipeline or a search is split in turn. A pipeline that ends in "passthrough" is not split, and neither is
    an object of another class, even of a subclass of Pipeline.
    """
    transforms: list[Any] = []
    while True:
        if has_exact_class(pipeline, "sklearn.pipeline.Pipeline") and not is_passed_through(pipeline.steps[-1][1]):
            *steps, pipeline = (step for _, step in pipeline.steps)
            transforms += [step for step in steps if not is_passed_through(step)]
        elif any(has_exact_class(pipeline, search) for search in _SEARCH_CLASSES) and hasattr(
            pipeline, "best_estimator_"
        ):
            pipeline = pipeline.best_estimator_
        else:
            return transforms, pipeline


def is_passed_through(step: Any) -> bool:
    """Return whether a step of a pipeline returns the rows unchanged."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def has_exact_class(value: Any, class_path: str) -> bool:
    """Return whether a value's class is the one with this public path, and not a subclass.

    The module is imported only if the class names are equal, so that a process imports only the modules of its model.
    """
    module, _, name = class_path.rpartition(".")
    return type(value).__name__ == name and getattr(import_module(module), name, None) is type(value)
