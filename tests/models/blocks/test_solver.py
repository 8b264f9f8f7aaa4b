"""A fit runs on one thread, and its warnings go where they belong."""

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

from holdtrue.models.blocks.solver import calm


def test_one_thread_is_left() -> None:
    with calm():
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_stopping_early_is_noted_once() -> None:
    with calm() as notes:
        for number in range(3):
            warnings.warn(f"not converged {number}", ConvergenceWarning, stacklevel=1)
    assert len(notes) == 1


def fit_that_warns(text: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with calm() as notes:
            warnings.warn(text, UserWarning, stacklevel=1)
    return notes


def test_other_warnings_are_not_swallowed() -> None:
    with warnings.catch_warnings(record=True) as caught:
        assert fit_that_warns("look here") == []
    assert [str(told.message) for told in caught] == ["look here"]


def test_an_interrupt_that_a_library_caught_still_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_that_warns("Training interrupted by user.")
