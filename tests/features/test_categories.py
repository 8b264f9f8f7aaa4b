"""Categories become codes or columns."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float32
from onnx import TensorProto

from holdtrue.features.categories import Category, emit_codes, emit_columns, fit_category
from holdtrue.features.graph import TEXT, Graph
from holdtrue.features.runtime import session
from holdtrue.features.session import run


def written(categories: list[Category], frame: pl.DataFrame, *, codes: bool) -> Float32[np.ndarray, "_ _"]:
    graph = Graph()
    inputs = [graph.input(category.column, TEXT) for category in categories]
    made = (emit_codes if codes else emit_columns)(graph, categories, inputs)
    width = len(categories) if codes else sum(category.states for category in categories)
    graph.output("features", made, TensorProto.FLOAT, [None, width])
    return run(session(graph.model().SerializeToString()), frame)["features"]


def fitted(values: list[str | None], most: int = 1000, fewest_rows: int = 1) -> Category:
    return fit_category(pl.Series("name", values, dtype=pl.String), most=most, fewest_rows=fewest_rows)


def test_the_most_frequent_comes_first_and_ties_go_by_name() -> None:
    assert fitted(["c", "b", "b", "a", "c", "d"]).values == ("b", "c", "a", "d")


def test_rare_and_surplus_categories_are_other() -> None:
    assert fitted(["a", "a", "b", "b", "c"], fewest_rows=2) == Category(
        column="name", values=("a", "b"), other=True, missing=False
    )
    assert fitted(["a", "a", "b", "b", "c"], most=1).values == ("a",)


def test_the_empty_string_is_missing_like_null() -> None:
    assert fitted(["a", ""]) == fitted(["a", None]) == Category(column="name", values=("a",), other=False, missing=True)


def test_codes_follow_frequency_and_the_unseen_is_other() -> None:
    category = fitted(["b", "b", "a"])
    frame = pl.DataFrame({"name": ["a", "b", "unseen", None, ""]})
    codes = written([category], frame, codes=True)[:, 0]
    assert codes[:3].tolist() == [1.0, 0.0, 2.0]
    assert np.isnan(codes[3:]).all()


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "", "ü", "a "]), min_size=4, max_size=4), min_size=1, max_size=20)
)
def test_every_training_row_has_exactly_one_state_of_each_column(rows: list[list[str]]) -> None:
    frame = pl.DataFrame(rows, schema=["p", "q", "r", "s"], orient="row")
    categories = [fit_category(frame.get_column(name), most=2, fewest_rows=2) for name in frame.columns]
    made = written(categories, frame, codes=False)
    assert (made.sum(axis=1) == len(categories)).all()
    assert ((made == 0) | (made == 1)).all()


def test_a_state_that_training_never_had_is_all_zeros() -> None:
    complete = fitted(["a", "b"])
    assert written([complete], pl.DataFrame({"name": ["unseen", None]}), codes=False).tolist() == [[0, 0], [0, 0]]


def test_columns_of_several_categories_lie_side_by_side() -> None:
    first = Category(column="p", values=("a",), other=True, missing=True)
    second = Category(column="q", values=("a", "b"), other=False, missing=False)
    frame = pl.DataFrame({"p": ["a", "z", None], "q": ["b", "a", "a"]})
    assert written([first, second], frame, codes=False).tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 1, 0]]
