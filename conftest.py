"""What all tests share, those in docstrings too: property tests draw the same examples every time, a slow machine fails
nothing, and signatures are checked as they are called.

The hook must be there before the first module of the package is imported; hence a file above both `src` and `tests`.
"""

import os

import pytest
import tests.checked
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# All stages but `spec`, which pydantic checks in use as well, and `cli`, whose signatures typer reads.
STAGES = (
    "core", "statistics", "data", "features", "tasks", "models", "training",
    "evaluation", "promises", "release", "registry", "serving", "monitoring", "loop", "pipeline",
)  # fmt: skip
install_import_hook([f"holdtrue.{stage}" for stage in STAGES], f"{tests.checked.__name__}.checked")

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("steady"), max_examples=25)
settings.load_profile("steady")

collect_ignore = ["tests/serving/clients"]  # they run in environments that have what they import
HAS_DATA = "HOLDTRUE_TEST_DATA" in os.environ


def pytest_report_header() -> str:
    return "" if HAS_DATA else "tests on public data sets are left out: HOLDTRUE_TEST_DATA names no folder"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if HAS_DATA or not item.get_closest_marker("realdata")]
    config.hook.pytest_deselected(items=list(set(items) - set(kept)))
    items[:] = kept
