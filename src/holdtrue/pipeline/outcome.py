"""What a run comes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXIT_CODES = {"proven": 0, "refuted": 3, "unproven": 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The end of a run: a release when every required promise is proven, else a candidate with its report.

    Attributes:
        run: the name of the run.
        candidate: the digest of what was judged, released or not.
        release: the digest of the release, or None.
        report: the page to look at; `report.json` lies beside it.
        contents: the report as read by machines.
        aliases: the names the release was given.
    """

    run: str
    candidate: str
    release: str | None
    verdict: str
    report: Path
    contents: Mapping[str, Any]
    aliases: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """Give the object that `holdtrue run --json` ends with."""
        keys = ("kind", "scope", "verdict", "value", "low", "high", "bound", "rows", "rows_needed", "method")
        more = ("text", "required", "direction", "reason")
        champion = next(model for model in self.contents["models"] if model["role"] == "champion")
        return {
            "release": self.release,
            "verdict": self.verdict,
            "promises": [{key: promise[key] for key in (*keys, *more)} for promise in self.contents["promises"]],
            "baselines": [model for model in self.contents["models"] if model["role"] == "baseline"],
            "champion_model": champion["name"],
            "report": str(self.report),
            "run": self.run,
            "candidate": self.candidate,
            "aliases": list(self.aliases),
        }
