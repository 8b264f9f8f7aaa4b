"""A release that passed its checks, ready to answer raw rows: the contract reads them, the graph answers.

Nothing of training is imported here, and nothing is unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.contract import Contract
from holdtrue.data.contract_json import from_dict
from holdtrue.data.parse import parse
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.release.bundle import Release
from holdtrue.release.held import CONTRACT, MODEL
from holdtrue.release.quarantine import Finding, Limits, admit

if TYPE_CHECKING:
    import numpy as np
    from onnxruntime import InferenceSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictor:
    """Answers with one release.

    Attributes:
        release: whose answers these are; its digest belongs beside each.
        contract: the columns the model takes, and how they are read.
        finding: what the quarantine showed.
        fingerprint: the key that signed the release.
    """

    release: Release
    contract: Contract
    finding: Finding
    fingerprint: str
    ready: "InferenceSession"

    def predict(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Answer raw rows, one line each and in their order.

        Classification gives `label`, `decision` (the code of the label) and `probability.CLASS` for each class;
        regression gives `value`, and `low` and `high` where the model has an interval.
        Raises `DataFault` when a column is not there.
        """
        return self.predict_typed(parse(self.contract, raw))

    def predict_typed(self, typed: pl.DataFrame) -> pl.DataFrame:
        """Answer rows that went through the contract already."""
        answers = run(self.ready, typed)
        made: dict[str, pl.Series] = {}
        for name, array in answers.items():
            if name == "probabilities":
                continue
            made[name] = _column(name, array[:, 0])
        for code, label in enumerate(self.release.core.classes):
            name = f"probability.{label}"
            made[name] = _column(name, answers["probabilities"][:, code])
        first = [name for name in ("label", "decision") if name in made]
        return pl.DataFrame([made[name] for name in dict.fromkeys([*first, *made])])


def _column(name: str, values: "np.ndarray") -> pl.Series:
    if values.dtype.kind in "OU":
        return pl.Series(name, values.tolist(), dtype=pl.String)
    return pl.Series(name, values)


def load(folder: Path, *, trusted: Mapping[str, Path], limits: Limits | None = None) -> Predictor:
    """Check a release in full and make it ready; raises `Refused` unless every check passed."""
    admitted = admit(folder, trusted=trusted, limits=limits)
    try:
        contract = from_dict(json.loads(admitted.files[CONTRACT]))
    except (Misuse, ValueError, RecursionError) as error:
        raise Refused(f"The contract of {folder} cannot be read: {error}") from None
    return Predictor(
        release=admitted.release,
        contract=contract,
        finding=admitted.finding,
        fingerprint=admitted.fingerprint,
        ready=session(admitted.files[MODEL]),
    )
