"""What MLflow imports to load an exported release: verified in full, then ready for raw rows in a pandas frame."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from holdtrue.release.predictor import Predictor, load
from holdtrue.release.signing import trusted_keys

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A release as MLflow sees it."""

    predictor: Predictor

    def predict(self, model_input: "pd.DataFrame", params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Answer raw rows as `holdtrue predict` does; the column `release` says who answered."""
        answers = self.predictor.predict(raw_rows(model_input))
        return answers.with_columns(release=pl.lit(self.predictor.release.digest)).to_pandas()


def raw_rows(frame: "pd.DataFrame") -> pl.DataFrame:
    """Take a pandas frame over column by column; one that mixes numbers and text becomes the text a file would hold."""
    columns: list[pl.Series] = []
    for place, name in enumerate(frame.columns):
        values = frame.iloc[:, place]
        try:
            array = pa.Array.from_pandas(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            cells = zip(values, values.isna(), strict=True)
            array = pa.array([None if missing else _text(value) for value, missing in cells], pa.string())
        columns.append(pl.Series(str(name), array))
    return pl.DataFrame(columns)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def load_release(data: str) -> Served:
    """Load the release in the folder `data` of an exported model; raises `Refused` unless every check passes.

    With HOLDTRUE_HOME set, the keys of that store say whose releases are accepted. Without it the key that was exported
    beside the release does: that finds changed bytes, but it is only as trustworthy as whoever gave you the folder.
    """
    home = os.environ.get("HOLDTRUE_HOME")  # MLflow is the caller: there is no command line of ours to read it
    keys = (Path(home) if home else Path(data).parent) / "keys"
    return Served(predictor=load(Path(data), trusted=trusted_keys(keys)))


_load_pyfunc = load_release  # the name that MLflow asks for
