"""A calm place to fit: one thread, so the bits repeat; a solver that stops early leaves a note."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def calm() -> Generator[list[str]]:
    """Run a fit on one thread; the list fills with notes when the block ends.

    The order in which threads add up decides the last bits of a sum, so more than one thread would mean a model
    that cannot be made again. Not having converged is worth a line in the record, not a failure.
    """
    from sklearn.exceptions import ConvergenceWarning

    notes: list[str] = []
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield notes
    for told in caught:
        if "interrupted by user" in str(told.message):
            raise KeyboardInterrupt  # scikit-learn's networks catch it and go on with what they have
        if issubclass(told.category, ConvergenceWarning):
            notes.append("The solver stopped at its limit of iterations before it had converged.")
        else:
            warnings.warn_explicit(told.message, told.category, told.filename, told.lineno)
    notes[:] = dict.fromkeys(notes)
