"""A loaded pipeline predicts with one job, whatever `n_jobs` it was fitted with."""

import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from worker.pool.single_job import use_single_job

ROWS = np.random.default_rng(1).uniform(size=(40, 3))
TARGET = np.arange(40) % 2


def forest(n_trees: int = 3) -> RandomForestClassifier:
    return RandomForestClassifier(n_trees, n_jobs=2, random_state=1)


def test_search_and_the_forest_that_it_found_use_one_job() -> None:
    search = GridSearchCV(forest(), {"max_depth": [1, 2]}, cv=2).fit(ROWS, TARGET)
    search.n_jobs = 4
    use_single_job(search)
    assert search.n_jobs == search.best_estimator_.n_jobs == search.best_estimator_.estimators_[0].max_depth == 1


def test_members_of_ensembles_use_one_job() -> None:
    members = [("forest", forest()), ("bagging", BaggingClassifier(KNeighborsClassifier(n_jobs=2), 2))]
    vote = VotingClassifier(members, voting="soft").fit(ROWS, TARGET)
    calibrated = CalibratedClassifierCV(forest(), cv=2).fit(ROWS, TARGET)
    vote.n_jobs = vote.estimators_[1].n_jobs = calibrated.n_jobs = 2
    use_single_job([vote, calibrated])
    fitted_forest, bagging = vote.estimators_
    fitted = [vote, fitted_forest, bagging, *bagging.estimators_, calibrated]
    fitted += [each.estimator for each in calibrated.calibrated_classifiers_]
    assert {each.n_jobs for each in fitted} == {1}


def test_steps_of_nested_pipelines_use_one_job() -> None:
    columns = ColumnTransformer([("union", FeatureUnion([("scale", MinMaxScaler())]), [0, 1])], remainder="passthrough")
    pipeline = make_pipeline(make_pipeline(columns, StandardScaler()), make_pipeline("passthrough", forest()))
    pipeline.fit(ROWS, TARGET)
    inner, last = pipeline[0][0], pipeline[1][1]
    inner.n_jobs = inner.transformers_[0][1].n_jobs = 2
    use_single_job(pipeline)
    assert inner.n_jobs == inner.transformers_[0][1].n_jobs == last.n_jobs == 1


class Cyclic(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Refers to itself, has no job count and computes a property that must not be read."""

    def __init__(self) -> None:
        self.models_ = np.array([self, {"forest": (forest(),)}], dtype=object)

    def fit(self) -> None: ...

    @property
    def estimators_samples_(self) -> Any:
        raise AssertionError


def test_cycles_end_and_properties_are_not_read() -> None:
    model = Cyclic()
    use_single_job(Pipeline([("model", model)]))
    assert model.models_[1]["forest"][0].n_jobs == 1
    assert "n_jobs" not in vars(model)


def test_large_forest_takes_no_noticeable_time() -> None:
    fitted = forest(300).fit(ROWS, TARGET)
    began = time.process_time()
    use_single_job(fitted)
    assert time.process_time() - began < 0.25  # measured: 2 ms
