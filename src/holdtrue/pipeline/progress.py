"""How far a long work has come, told to whoever listens."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tell(Protocol):
    """Hears of progress: the stage, how much is done, how much there is (None when nobody knows)."""

    def __call__(self, stage: str, done: int = 0, total: int | None = None) -> None: ...


def silent(stage: str, done: int = 0, total: int | None = None) -> None:
    """Hears nothing."""
