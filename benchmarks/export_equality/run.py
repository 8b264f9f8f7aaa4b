"""Does the exported graph answer as the fitted model does, for every learner, on every table, boundary rows included?

    python benchmarks/export_equality/run.py            all; writes result.json and result.md beside this file
    python benchmarks/export_equality/run.py --tables adult --learners lightgbm,ridge

Each learner is fitted with its default settings on the first rows of each table. What is exported is the whole of a
release's graph: encoding, learner, correction of probabilities, decision or interval. It is compared with the fitted
object itself on held-out rows, rows on the edges, and rows drawn column by column.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tables import TABLES, Table
from threadpoolctl import threadpool_limits

from holdtrue.core.errors import Refused
from holdtrue.features.encoder import fit, transform
from holdtrue.models.answers import Correction, Decision, Interval
from holdtrue.models.boundary import edges_of, proving_rows
from holdtrue.models.export import Deployed, assemble, reference
from holdtrue.models.learner import LEARNERS, Rows
from holdtrue.models.proof import TOLERANCE, prove
from holdtrue.models.settings import defaults

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", HERE.parents[1] / "data"))
MOST_TRAINING_ROWS, MOST_REAL_ROWS = 5_000, 2_000
SEED = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What came out for one learner on one table; `refused` says why there is no proof."""

    table: str
    learner: str
    rows: int = 0
    boundary_rows: int = 0
    max_difference: float = 0.0
    batch_difference: float = 0.0
    decisions_differing: int = 0
    size_bytes: int = 0
    refused: str = ""


def measure(name: str, table: Table, learner_name: str) -> Row:
    learner = LEARNERS.get(learner_name)
    train = table.train.tail(MOST_TRAINING_ROWS)
    truth = table.target_train[-train.height :]
    encoder = fit(train, table.kinds, learner.flavour)
    rows = Rows(x=transform(encoder, train), y=truth, classes=len(table.classes))
    with threadpool_limits(limits=1):
        fitted = learner.fit(rows, defaults(learner.space), SEED, None)
    deployed = Deployed(
        encoder=encoder,
        classes=table.classes,
        correction=Correction(slope=0.8, offset=0.1 if len(table.classes) == 2 else 0.0),
        decision=Decision(threshold=0.3) if len(table.classes) == 2 else Decision(),
        interval=Interval(below=0.1, above=0.2, floor=1.0),
    )
    model = assemble(deployed, fitted)
    kinds = {column: kind for column, kind in table.kinds.items() if column in encoder.columns}
    frames = proving_rows(train, table.held.head(MOST_REAL_ROWS), kinds, edges_of(model, encoder), SEED)
    try:
        proof = prove(model, reference(deployed, fitted), frames)
    except Refused as fault:
        return Row(table=name, learner=learner_name, size_bytes=len(model), refused=str(fault))
    return Row(
        table=name,
        learner=learner_name,
        rows=proof.rows,
        boundary_rows=proof.boundary_rows,
        max_difference=proof.max_difference,
        batch_difference=proof.batch_difference,
        decisions_differing=proof.decisions_differing,
        size_bytes=len(model),
    )


def about(seconds: float) -> dict[str, str]:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()

    changed = ", with changes" if git("status", "--porcelain", "--", "../../src") else ""
    packages = ("onnx", "onnxruntime", "scikit-learn", "lightgbm", "numpy")
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
        ),
        "seconds": f"{seconds:.0f}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": (git("rev-parse", "HEAD") or "unknown") + changed,
    }


def page(rows: Sequence[Row], facts: dict[str, str]) -> str:
    learners = sorted({row.learner for row in rows})
    cells = {(row.table, row.learner): row for row in rows}
    equal = sum(row.batch_difference == 0 and not row.refused for row in rows)

    def cell(table: str, learner: str) -> str:
        row = cells.get((table, learner))
        return "" if row is None else "REFUSED" if row.refused else f"{row.max_difference:.0e}"

    lines = [
        "# Export equality",
        "",
        f"{len(rows)} exports of {len(learners)} learners on {len({row.table for row in rows})} tables, compared on",
        f"{sum(row.rows for row in rows):,} rows, {sum(row.boundary_rows for row in rows):,} of them on the edges.",
        f"{sum(bool(row.refused) for row in rows)} were refused. The largest difference is",
        f"{max(row.max_difference for row in rows):.1e}; refused is what passes {TOLERANCE:g}.",
        f"{sum(row.decisions_differing for row in rows)} decisions differ.",
        f"A row alone is answered bit for bit as in its batch in {equal} of {len(rows)} exports; elsewhere the largest",
        f"difference is {max(row.batch_difference for row in rows):.0e}.",
        "",
        "The largest difference of each export: of a probability, or of a value as a share of its size plus the",
        "spread of the values.",
        "",
        f"| table | {' | '.join(learners)} |",
        f"|---|{'---:|' * len(learners)}",
    ]
    for table in dict.fromkeys(row.table for row in rows):
        lines.append(f"| {table} | {' | '.join(cell(table, learner) for learner in learners)} |")
    lines += ["", *(f"{name}: {value}  " for name, value in facts.items()), ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--learners", default=",".join(LEARNERS.names()))
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    start = time.perf_counter()
    rows: list[Row] = []
    for name in asked.tables.split(","):
        table = TABLES[name](DATA)
        task = "classification" if table.classes else "regression"
        for learner in asked.learners.split(","):
            if task in LEARNERS.get(learner).tasks:
                rows.append(measure(name, table, learner))
                print(rows[-1], flush=True)
    facts = about(time.perf_counter() - start)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "result.json").write_text(
        json.dumps({"rows": [asdict(row) for row in rows], **facts}, indent=1) + "\n"
    )
    (asked.out / "result.md").write_text(page(rows, facts))
    return 1 if any(row.refused for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
