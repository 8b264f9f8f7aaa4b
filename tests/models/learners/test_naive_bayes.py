"""Naive Bayes is scikit-learn's within the range of the rows it saw, and bounded outside."""

from dataclasses import replace

import numpy as np
from sklearn.naive_bayes import GaussianNB

from holdtrue.models.learners.naive_bayes import PLUGIN
from holdtrue.models.problems import fit, problem


def test_chances_are_those_of_scikit_learn() -> None:
    rows = replace(problem("three", "linear"), weight=np.random.default_rng(0).uniform(0.5, 2.0, 240))
    model = GaussianNB(var_smoothing=0.1).fit(rows.x.astype(np.float64), rows.y, sample_weight=rows.weight)
    np.testing.assert_allclose(
        fit(PLUGIN, rows).predict(rows.x), model.predict_proba(rows.x.astype(np.float64)), atol=1e-9
    )


def test_beyond_the_rows_the_answer_is_that_at_their_edge() -> None:
    rows = problem("binary", "linear")
    fitted = fit(PLUGIN, rows)
    edge = rows.x.max(axis=0, keepdims=True)
    np.testing.assert_array_equal(fitted.predict(edge * np.float32(1e20)), fitted.predict(edge))


def test_a_feature_that_is_constant_within_a_class_does_not_decide_alone() -> None:
    rows = problem("binary", "linear")
    x = rows.x.copy()
    x[rows.y == 0, 1] = 0.0
    chance = fit(PLUGIN, replace(rows, x=x)).predict(x)
    assert np.isfinite(chance).all()
