"""Plug-ins are found by the name of their file, and a wrong name is answered with the nearest."""

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.models.learner import LEARNERS
from holdtrue.tasks import TASKS


def test_the_tasks_are_the_files_of_the_folder() -> None:
    assert TASKS.names() == ("classification", "regression")


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(Misuse, match="did you mean 'classification'"):
        TASKS.get("clasification")


def test_a_task_names_learners_that_exist() -> None:
    known = set(LEARNERS.names())
    for name in TASKS.names():
        task = TASKS.get(name)
        assert {task.trivial, task.simple, *task.learners} <= known
