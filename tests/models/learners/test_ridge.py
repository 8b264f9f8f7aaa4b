"""Ridge regression solves its normal equations."""

from dataclasses import replace

import numpy as np

from holdtrue.models.learners.ridge import PLUGIN
from holdtrue.models.problems import problem


def test_it_is_the_closed_form() -> None:
    rows = problem("regression", "linear", rows=120)
    alpha = 3.0
    x, y = rows.x.astype(np.float64), rows.y
    centred = x - x.mean(axis=0)
    coefficients = np.linalg.solve(centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    fitted = PLUGIN.fit(rows, {"alpha": alpha}, 0, None)
    np.testing.assert_allclose(fitted.predict(rows.x)[:, 0], centred @ coefficients + y.mean(), rtol=1e-8)


def test_a_row_of_weight_two_is_two_rows() -> None:
    rows = problem("regression", "linear", rows=60)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    doubled = replace(rows, x=rows.x[twice], y=rows.y[twice])
    weighted = replace(rows, weight=np.where(np.arange(60) < 20, 2.0, 1.0))
    expected = PLUGIN.fit(doubled, {"alpha": 1.0}, 0, None).predict(rows.x)
    np.testing.assert_allclose(PLUGIN.fit(weighted, {"alpha": 1.0}, 0, None).predict(rows.x), expected, rtol=1e-7)


def test_a_column_twice_shares_its_coefficient() -> None:
    rows = problem("regression", "linear", rows=60)
    fitted = PLUGIN.fit(replace(rows, x=np.repeat(rows.x[:, :1], 2, axis=1)), {"alpha": 1.0}, 0, None)
    weights = fitted.weights[:, 0]  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-9)
