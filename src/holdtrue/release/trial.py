"""The graph run once before it may serve: golden rows give the stored answers, extreme rows break nothing."""

import io

import numpy as np
import polars as pl
from onnxruntime import InferenceSession

from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.release.interface import Interface
from holdtrue.release.rows import inputs_of, outputs_of

LEAST_GOLDEN_ROWS = 32
BATCH_ROWS = 1_024
KINDS = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "string": np.object_}
NUMBERS = (
    float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0, -1.0, 5e-324, 1.7976931348623157e308,
    -1.7976931348623157e308, 3.5e38, -3.5e38, 2.0**53 + 2, 1e-30, 4102444800.0,
)  # fmt: skip
TEXTS = ("", " ", "never seen before", "x" * 10_000, "\u0000", "nan", "-1", "日本語", "e\u0301", "'; --", "\U0001f600")


def faults_of(model: bytes, golden: bytes, interface: Interface) -> tuple[list[str], list[str]]:
    """Run a model whose structure was found good; gives faults, and statements of what was shown."""
    try:
        ready = session(model)
    except Exception as error:  # ONNX Runtime raises many kinds; each means the same here
        return [f"the runtime cannot load the model: {_short(error)}"], []
    try:
        stored = pl.read_parquet(io.BytesIO(golden))
        faults, statements = _replayed(ready, stored, interface)
    except Exception as error:
        return [f"the golden rows cannot be replayed: {_short(error)}"], []
    try:
        faults = faults or _extreme_faults(ready, inputs_of(stored).schema, interface)
    except Exception as error:
        return [f"extreme rows break the model: {_short(error)}"], []
    return faults, statements


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _replayed(ready: InferenceSession, golden: pl.DataFrame, interface: Interface) -> tuple[list[str], list[str]]:
    if golden.height < LEAST_GOLDEN_ROWS:
        return [f"{golden.height} golden rows are fewer than {LEAST_GOLDEN_ROWS}"], []
    answers = run(ready, inputs_of(golden))
    faults: list[str] = []
    far = 0.0
    for port in interface.outputs:
        stored = outputs_of(golden, port.name, port.places)
        now = answers[port.name].reshape(golden.height, -1)
        if port.type in ("string", "int64"):
            wrong = int(np.count_nonzero(np.any(stored != now, axis=1)))
            if wrong:
                faults.append(f"the output {port.name!r} of {wrong} golden rows is another than the stored one")
            continue
        apart = _distance(stored, now)
        far = max(far, apart)
        if apart > interface.tolerance:
            faults.append(f"the output {port.name!r} of the golden rows is off by {apart:.3g}")
    equal = "bit for bit" if far == 0.0 else f"within {far:.3g} (allowed {interface.tolerance:g}), not bit for bit"
    return faults, [f"{golden.height} golden rows give the stored answers {equal}"]


def _distance(stored: "np.ndarray", now: "np.ndarray") -> float:
    """Measure how far answers lie apart: 0 for the same bits, else relative above 1 and absolute below."""
    if stored.dtype != now.dtype or stored.shape != now.shape:
        return float("inf")
    if stored.tobytes() == now.tobytes():
        return 0.0
    with np.errstate(all="ignore"):
        same = (stored == now) | (np.isnan(stored) & np.isnan(now))
        gap = np.abs(stored.astype(np.float64) - now.astype(np.float64))
        scaled = np.where(same, 0.0, gap / np.maximum(1.0, np.abs(stored.astype(np.float64))))
    return float("inf") if np.isnan(scaled).any() else max(float(scaled.max()), 5e-324)


def _extreme_faults(ready: InferenceSession, columns: pl.Schema, interface: Interface) -> list[str]:
    """Answer rows at the ends of what a column can hold, alone and in a large batch: right types, right counts."""
    length = max(len(NUMBERS), len(TEXTS))
    frame = pl.DataFrame(
        [
            pl.Series(name, [values[(row + shift) % len(values)] for row in range(length)], dtype=kind)
            for shift, (name, kind) in enumerate(columns.items())
            for values in [TEXTS if kind == pl.String else NUMBERS]
        ]
    )
    repeated = pl.concat([frame] * (BATCH_ROWS // length + 1)).head(BATCH_ROWS)
    faults: list[str] = []
    for rows in (frame, frame.head(1), repeated):
        answers = run(ready, rows)
        for port in interface.outputs:
            got = answers[port.name]
            if got.shape != (rows.height, *port.shape[1:]) or got.dtype != KINDS[port.type]:
                faults.append(f"the output {port.name!r} for {rows.height} rows is {got.dtype} {got.shape}")
    return faults
