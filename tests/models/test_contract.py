"""Every learner in the catalog keeps every rule."""

import os
import subprocess
import sys

import pytest

from holdtrue.models.contract import Check, checks
from holdtrue.models.learner import LEARNERS

# A check of one of these takes a second or two.
SLOW = ("adaboost", "extra_trees", "hist_boosting", "mlp", "random_forest")


@pytest.mark.parametrize("check", list(checks()), ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in LEARNERS.names()]
)
def test_a_learner_keeps_the_contract(name: str, check: Check) -> None:
    check(name, LEARNERS.get(name))


WRITTEN = """
import sys
from holdtrue.core.digest import sha256_bytes
from holdtrue.models.learner import LEARNERS
from holdtrue.models.problems import fit, kinds, problem, written
for name in LEARNERS.names():
    for kind in kinds(LEARNERS.get(name)):
        rows = problem(kind, LEARNERS.get(name).flavour, rows=800, features=12)
        print(name, kind, sha256_bytes(written(fit(LEARNERS.get(name), rows), 12)))
"""


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit_of_any_graph() -> None:
    told: list[str] = []
    for threads in ("1", "2"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        command = [sys.executable, "-W", "ignore", "-c", WRITTEN]
        done = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True, check=True)
        told.append(done.stdout)
    assert told[0].count("\n") > 20
    assert told[0] == told[1]
