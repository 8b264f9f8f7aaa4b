"""The limit of every server: the graph in a loop, in one process on one thread, on tensors made beforehand.

    python bare.py GRAPH FOLDER SECONDS

FOLDER holds one file of rows for each number of rows. Prints runs per second of processor time for each.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def session(graph: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])


def feeds(file: Path) -> dict[str, np.ndarray]:
    """Read tensors; words were written as text of fixed width, and the graph takes objects."""
    with np.load(file) as held:
        read = {name: held[name] for name in held.files}
    return {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in read.items()}


def measured(ready: ort.InferenceSession, given: list[dict[str, np.ndarray]], seconds: float) -> float:
    names = [node.name for node in ready.get_outputs()]
    for each in given:
        ready.run(names, each)
    runs, end = 0, time.perf_counter() + seconds
    before = time.process_time()
    while time.perf_counter() < end:
        for each in given:
            ready.run(names, each)
        runs += len(given)
    return runs / (time.process_time() - before)


def main() -> None:
    graph, folder, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    ready = session(graph)
    counts = sorted({int(file.name.split("-")[0]) for file in folder.glob("*.npz")})
    given = {count: [feeds(file) for file in sorted(folder.glob(f"{count}-*.npz"))] for count in counts}
    print(json.dumps({str(count): measured(ready, given[count], seconds) for count in counts}))


if __name__ == "__main__":
    main()
