"""One bit of a release is flipped, in any file, at any place: is it noticed every time?

    python benchmarks/tampering/run.py              2,000 flips; writes result.json and result.md beside this file
    python benchmarks/tampering/run.py --flips 200

The flips are shared out evenly over the files, so that a small file is tried as often as a large one. Then every single
bit of the signature itself is flipped. Beside our own reader, the verifier of the signing library is asked alone.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from model_signing import verifying
from onnx import TensorProto

from holdtrue.core.errors import Refused
from holdtrue.features.encoder import fit, transform
from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.models.learner import LEARNERS, Rows
from holdtrue.models.settings import defaults
from holdtrue.release.bom import bill_of_materials
from holdtrue.release.bundle import Core, hashes, release_of, write_release
from holdtrue.release.card import card
from holdtrue.release.held import MOST_BYTES, SIGNATURE
from holdtrue.release.interface import interface_of
from holdtrue.release.lineage import Lineage, environment_lock, package_tree
from holdtrue.release.rows import golden_rows, parquet, reference_rows
from holdtrue.release.signing import signing_key, trusted_keys, verify

HERE = Path(__file__).parent
SEED = 20_261_121
KINDS = {"amount": "number", "count": "number", "day": "date", "city": "category"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What came out for one file."""

    file: str
    size_bytes: int
    flips: int
    found: int
    found_by_the_library_alone: int


def table(rows: int) -> pl.DataFrame:
    chance = np.random.default_rng(SEED)
    return pl.DataFrame(
        {
            "amount": np.exp(chance.normal(size=rows)),
            "count": chance.integers(0, 50, rows).astype(np.float64),
            "day": chance.integers(1_400_000_000, 1_600_000_000, rows).astype(np.float64),
            "city": [f"city {code}" for code in chance.integers(0, 40, rows)],
        }
    )


def model(frame: pl.DataFrame) -> bytes:
    """Fit LightGBM with its default settings and write it behind its encoder."""
    learner = LEARNERS.get("lightgbm")
    encoder = fit(frame, KINDS, learner.flavour)
    y = (frame["amount"] * frame["count"] > 25).cast(pl.Float64).to_numpy()
    rows = Rows(x=transform(encoder, frame), y=y, classes=2)
    fitted = learner.fit(rows, defaults(learner.space), 7, rows)
    graph = Graph()
    inputs = {column: graph.input(column, kind) for column, kind in encoder.columns.items()}
    answer = fitted.emit(graph, encoder.emit(graph, inputs))
    graph.output("probabilities", answer, TensorProto.FLOAT, [None, 2])
    return graph.model().SerializeToString(deterministic=True)


def released(place: Path) -> Path:
    """Write a release as large as a real one, signed by a key of its own."""
    frame = table(4_000)
    graph = model(frame)
    ready = session(graph)
    interface = interface_of(graph)
    lock = environment_lock()
    files = {
        "model.onnx": graph,
        "signature.json": interface.to_json(),
        "contract.json": json.dumps({"fields": [{"name": name, "kind": KINDS[name]} for name in KINDS]}).encode(),
        "reference.parquet": parquet(reference_rows(frame, personal=[], seed=7)),
        "golden.parquet": parquet(golden_rows(frame, personal=[], seed=7, predict=lambda typed: run(ready, typed))),
        "environment.lock": lock.encode(),
    }
    core = Core(
        name="tampering",
        task="classification",
        classes=("no", "yes"),
        inputs=tuple(port.to_dict() for port in interface.inputs),
        outputs=tuple(port.to_dict() for port in interface.outputs),
        files=hashes(files),
        lineage=Lineage(
            snapshot="0" * 64,
            project="0" * 64,
            sources={},
            package=package_tree(),
            environment=lock,
            seed=7,
            learner="lightgbm",
            settings=defaults(LEARNERS.get("lightgbm").space),
            split={"by": "random"},
        ),
    )
    report = {"schema": "holdtrue/report/1", "metrics": {}}
    evidence = {
        "report.json": json.dumps(report).encode(),
        "report.html": ("<!doctype html><title>Report</title>" + "<p>A line of the report.</p>\n" * 4_000).encode(),
        "card.md": card(report, core).encode(),
        "bom.cdx.json": bill_of_materials(report, core),
    }
    made = write_release(
        core, {**files, **evidence}, releases=place / "releases", scratch=place / "tmp", key=signing_key(place / "keys")
    )
    return made.folder


def library_finds(folder: Path, public: Path) -> bool:
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / SIGNATURE)
    except Exception:  # whatever it raises, it noticed
        return True
    return False


def flip(folder: Path, name: str, flips: int, keys: Path, chance: np.random.Generator) -> tuple[Row, Counter[str]]:
    """Flip one bit at a time in one file, and put it back."""
    whole = (folder / name).read_bytes()
    trusted = trusted_keys(keys)
    words: Counter[str] = Counter()
    library = 0
    for place in chance.integers(0, 8 * len(whole), flips).tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << (place % 8)
        (folder / name).write_bytes(bytes(changed))
        try:
            release_of(folder, verify(folder, trusted).files)
        except Refused as error:
            words[reason(error.what)] += 1
        library += library_finds(folder, keys / "signing.pub")
    (folder / name).write_bytes(whole)
    found = sum(words.values())
    return Row(file=name, size_bytes=len(whole), flips=flips, found=found, found_by_the_library_alone=library), words


def every_bit(folder: Path, keys: Path) -> dict[str, int]:
    """Flip each bit of the signature in turn; the library is asked about it alone: no other file changed."""
    place = folder / SIGNATURE
    whole = place.read_bytes()
    trusted = trusted_keys(keys)
    library = verifying.ec_key.Verifier(keys / "signing.pub")
    unseen = unseen_by_library = 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        place.write_bytes(bytes(changed))
        with suppress(Refused):
            verify(folder, trusted)
            unseen += 1
        with suppress(Exception):  # whatever it raises, it noticed
            library.verify(verifying.sigstore_pb.Signature.read(place))
            unseen_by_library += 1
    place.write_bytes(whole)
    return {"bits": 8 * len(whole), "unseen": unseen, "unseen_by_the_library_alone": unseen_by_library}


def reason(what: str) -> str:
    known = {
        "is not what was signed": "the bytes are not those that were signed",
        "cannot be read": "the signature is not spelled as it must be",
        "does not hold": "the signature does not hold",
        "not trusted": "the key is not trusted",
    }
    return next((name for words, name in known.items() if words in what), what)


def told(rows: list[Row], words: Counter[str], signature: dict[str, int], seconds: float) -> str:
    """Write the result as a page."""
    flips, found = sum(row.flips for row in rows), sum(row.found for row in rows)
    lines = [
        "# Tampering",
        "",
        f"{flips:,} single bits of a release flipped, one at a time: {found:,} found. {seconds:.0f} s in all.",
        "",
        "| file | bytes | flips | found | found by the signing library alone |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {row.file} | {row.size_bytes:,} | {row.flips} | {row.found} | {row.found_by_the_library_alone} |"
            for row in rows
        ),
        "",
        f"Every bit of model.sig, {signature['bits']:,} in all: {signature['unseen']} changes not found;",
        f"{signature['unseen_by_the_library_alone']} by the library alone: bits at the end of a base64 text that",
        "decode to nothing. They change no statement; we refuse them because a signature here has one spelling.",
        "",
        "| noticed because | flips |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in words.most_common()),
        "",
        *(f"{name}: {value}  " for name, value in machine().items()),
    ]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, model-signing {version('model-signing')}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = released(Path(scratch))
        copy = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        release_of(copy, verify(copy, trusted_keys(Path(scratch) / "keys")).files)
        chance = np.random.default_rng(SEED)
        shares = [asked.flips // len(MOST_BYTES) + (place < asked.flips % len(MOST_BYTES)) for place in range(12)]
        done = [
            flip(copy, name, share, Path(scratch) / "keys", chance)
            for name, share in zip(MOST_BYTES, shares, strict=True)
        ]
        signature = every_bit(copy, Path(scratch) / "keys")
    rows = [row for row, _ in done]
    words = sum((counted for _, counted in done), Counter[str]())
    result = {
        "rows": [asdict(row) for row in rows],
        "reasons": dict(words),
        "signature": signature,
        "seed": SEED,
        **machine(),
    }
    (asked.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    page = told(rows, words, signature, time.perf_counter() - start)
    (asked.out / "result.md").write_text(page)
    print(page)
    if signature["unseen"] or any(row.found < row.flips for row in rows):
        raise SystemExit("A changed bit was not noticed.")


if __name__ == "__main__":
    main()
