"""Runs an ONNX graph over a table, chunk by chunk, on one thread: the same bits every time."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
import polars as pl

from holdtrue.core.errors import DataFault
from holdtrue.features.ports import port

CHUNK_ROWS = 4_096  # bounds the memory of Python strings, and of learners that compare each row with thousands


def columns(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Turn typed columns into the tensors a graph takes: numbers as float64 with NaN, text with "" for missing."""
    made: dict[str, np.ndarray] = {}
    for name, kind in frame.schema.items():
        series = frame.get_column(name)
        if kind == pl.String:
            words = np.empty((len(series), 1), dtype=object)
            words[:, 0] = (series.fill_null("") if series.null_count() else series).to_list()
            made[port(name)] = words
        else:
            numbers = series if kind == pl.Float64 else series.cast(pl.Float64)
            made[port(name)] = numbers.to_numpy().reshape(-1, 1)  # what is null becomes NaN
    return made


def run(ready: ort.InferenceSession, frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
    """Answer a typed table; columns the graph does not ask for are left alone.

    Numbers are given as float64; a graph made elsewhere may ask for float32.
    """
    ports = {port(column): column for column in frame.columns}
    wanted = [node.name for node in ready.get_inputs()]
    names = [node.name for node in ready.get_outputs()]
    absent = [name for name in wanted if name not in ports]
    if absent:
        raise DataFault(
            f"The rows lack {len(absent)} of the {len(wanted)} columns the model takes:",
            faults=[repr(name) for name in absent],
            do="Give every column; leave a value empty where it is not known.",
        )
    asked = frame.select([ports[name] for name in wanted])
    narrow = [node.name for node in ready.get_inputs() if node.type == "tensor(float)"]
    made: dict[str, np.ndarray] = {}
    for start in range(0, max(frame.height, 1), CHUNK_ROWS):
        given = columns(asked.slice(start, CHUNK_ROWS))
        answers = ready.run(names, given | {name: given[name].astype(np.float32) for name in narrow})
        for name, answer in zip(names, answers, strict=True):
            part = np.asarray(answer)
            if len(part) == frame.height:
                made[name] = part
                continue
            # Filled chunk by chunk: to join the parts at the end would take twice the memory.
            whole = made.setdefault(name, np.empty((frame.height, *part.shape[1:]), dtype=part.dtype))
            whole[start : start + len(part)] = part
    return made
