"""Trials on disk, one JSON line each, written through to the disk: what a killed search remembers."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from holdtrue.core.digest import canonical_json
from holdtrue.core.files import write_whole
from holdtrue.models.learner import Settings

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One learner with one choice of settings, and what came of it.

    Attributes:
        score: the mean over all folds; None unless the trial is complete.
        steps: the mean after each fold.
        reason: why it failed or was cut short.
    """

    number: int
    learner: str
    settings: Settings
    state: State
    score: float | None
    steps: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """A file of trials. Its first line names the search they belong to; another search starts it afresh."""

    path: Path
    search: str

    def open(self) -> tuple[Trial, ...]:
        """Give the trials that are safely there, and cut off a line that a kill left half-written."""
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else []
        header = canonical_json({"journal": "holdtrue/trials/1", "search": self.search}) + b"\n"
        trials: list[Trial] = []
        if lines[:1] == [header]:
            for line in lines[1:]:
                trial = _read(line)
                if trial is None or trial.number != len(trials):
                    break
                trials.append(trial)
        kept = header + b"".join(_written(trial) for trial in trials)
        if b"".join(lines) != kept:
            write_whole(self.path, kept)
        return tuple(trials)

    def add(self, trial: Trial) -> None:
        """Append a trial; when this returns, a kill or a power cut cannot undo it."""
        with self.path.open("ab") as stream:
            stream.write(_written(trial))
            stream.flush()
            os.fsync(stream.fileno())


def _written(trial: Trial) -> bytes:
    return canonical_json(asdict(trial)) + b"\n"


def _read(line: bytes) -> Trial | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found: dict[str, Any] = json.loads(line)
        found["steps"] = tuple(found["steps"])
        return Trial(**found)
    except (ValueError, TypeError, KeyError):
        return None
