"""Makes a small project in a folder and serves its release with a graph made slow on purpose: `python slow.py FOLDER`.

What the graph answers stays the same to the bit: its probabilities also go through products of large matrices, and what
comes out, times nothing, is added to them.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.running import only_one
from holdtrue.pipeline.serve import Endpoint, Serving
from holdtrue.serving.listening import Address
from holdtrue.serving.plan import Plan

PROJECT = """\
name: overload
data: {source: rows.csv, target: bought}
learn: {learners: [logistic], trials: 1, seed: 7, folds: 3}
report: {learning_curve: false}
promises:
  - small: {bytes_at_most: 1 MB}
"""
WIDTH, LAYERS = 2_048, 40
OUTPUT = "probabilities"


def make(folder: Path) -> None:
    """Make a project, and its release."""
    chance = random.Random(1)
    lines = ["age,income,bought"]
    for _ in range(300):
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        lines.append(f"{age},{income},{'yes' if age + income + chance.gauss(0, 20) > 70 else 'no'}")
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "holdtrue.yaml").write_text(PROJECT)
    subprocess.run([sys.executable, "-m", "holdtrue.cli", "run"], cwd=folder, stdout=sys.stderr, check=True)


def slowed(plan: Plan) -> Plan:
    """Give the same release with more to multiply."""
    model = onnx.load_from_string(plan.model)
    graph = model.graph
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == OUTPUT:
                node.output[place] = "quick"
        for place, name in enumerate(node.input):
            if name == OUTPUT:
                node.input[place] = "quick"
    chance = np.random.default_rng(1)
    classes = len(plan.classes)
    for name, rows, columns in (("widen", classes, WIDTH), ("again", WIDTH, WIDTH), ("narrow", WIDTH, classes)):
        weights = (chance.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, name))
    at = "quick"
    for step, name in enumerate(("widen", *(["again"] * LAYERS), "narrow")):
        graph.node.append(helper.make_node("MatMul", [at, name], [f"slow_{step}"]))
        at = f"slow_{step}"
    graph.initializer.append(helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]))
    graph.node.append(helper.make_node("Mul", [at, "nothing"], ["slow_end"]))
    graph.node.append(helper.make_node("Add", ["quick", "slow_end"], [OUTPUT]))
    return msgspec.structs.replace(plan, model=model.SerializeToString())


def main() -> None:
    folder = Path(sys.argv[1])
    make(folder)
    keeper = keeper_of(folder, os.environ, actor="benchmark")
    serving = Serving(address=Address(port=0), tidy_s=0)
    endpoint = Endpoint(keeper=keeper, serving=serving, names=("champion",))

    def ready(state: dict[str, Any]) -> None:
        print(json.dumps(state), flush=True)

    with only_one(keeper):
        asyncio.run(endpoint.run([slowed(endpoint.admit("champion"))], ready))


if __name__ == "__main__":
    main()
