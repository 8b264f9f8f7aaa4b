"""A release in the form MLflow reads: a folder that `mlflow models serve` loads and that answers the same numbers.

The folder holds the release itself, untouched, and the public key it was signed with; `mlflow_loader` verifies it in
full before it answers. Writing needs no MLflow: what it reads are a few texts. The same release gives the same bytes.
"""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import yaml

from holdtrue.core.digest import Json
from holdtrue.core.errors import Misuse
from holdtrue.core.files import folder_whole
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import from_dict
from holdtrue.data.dates import EPOCH, EPOCH_FORMATS, iso_of_seconds
from holdtrue.data.parse import parse
from holdtrue.release.bundle import Core, release_of
from holdtrue.release.held import CONTRACT, GOLDEN, LOCK
from holdtrue.release.rows import INPUT
from holdtrue.release.signing import trusted_keys, verify

DATA, KEYS, EXAMPLE, REQUIREMENTS = "data", "keys", "input_example.json", "requirements.txt"
LOADER = "holdtrue.release.mlflow_loader"
EXAMPLE_ROWS = 3
# What changes a prediction is pinned as it was; the rest is left to what MLflow itself can stand.
PINNED = ("numpy", "onnxruntime", "polars")
# The oldest MLflow that knows a column of any type: raw columns may come as text or as numbers.
OLDEST_MLFLOW = "3.1.0"


def export_mlflow(release_folder: Path, out: Path, *, trusted: Mapping[str, Path] | None = None) -> None:
    """Write a verified release as an MLflow model; `out` appears whole, or not at all.

    `trusted` are the keys whose releases are accepted; those of the store the release lies in when None. Raises
    `Refused` when the release does not hold, and `Misuse` when there is something at `out`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misuse(f"{out} is there already.", do="Name a new place, or remove it first.")
    keys = trusted_keys(release_folder.parent.parent / KEYS) if trusted is None else trusted
    verified = verify(release_folder, keys)
    files = {f"{DATA}/{name}": data for name, data in verified.files.items()}
    files[f"{KEYS}/trusted/signer.pub"] = keys[verified.fingerprint].read_bytes()
    files |= {name: text.encode() for name, text in _texts(release_folder, verified.files).items()}
    if out.exists():
        out.rmdir()
    with folder_whole(out, scratch=out.absolute().parent) as building:
        for name, data in files.items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).write_bytes(data)


def _texts(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write what MLflow reads."""
    core = release_of(folder, files).core
    contract = from_dict(json.loads(files[CONTRACT]))
    lock = dict(line.split("==", 1) for line in files[LOCK].decode().splitlines() if "==" in line)
    return {
        "MLmodel": _yaml(_model(core, contract, files, lock)),
        "python_env.yaml": _yaml(_python_env(lock)),
        "conda.yaml": _yaml(_conda(lock)),
        REQUIREMENTS: "".join(f"{line}\n" for line in _requirements(lock)),
        EXAMPLE: json.dumps(_example(contract, files[GOLDEN]), ensure_ascii=False, allow_nan=False) + "\n",
    }


def _model(core: Core, contract: Contract, files: Mapping[str, bytes], lock: Mapping[str, str]) -> dict[str, Json]:
    """Describe the model as MLflow's file of that name does."""
    flavour: dict[str, Json] = {
        "data": DATA,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": LOADER,
        "python_version": lock.get("python", "3.11"),
        "streamable": False,
    }
    described: dict[str, Json] = {
        "flavors": {"python_function": flavour},
        "metadata": {
            "holdtrue.release": core.digest,
            "holdtrue.task": core.task,
            "holdtrue.columns": {field.name: field.kind for field in contract.fields},
        },
        "mlflow_version": OLDEST_MLFLOW,
        "model_size_bytes": sum(map(len, files.values())),
        "model_uuid": core.digest[:32],
        "saved_input_example_info": {"artifact_path": EXAMPLE, "pandas_orient": "split", "type": "dataframe"},
        "signature": {"inputs": json.dumps(_inputs(contract)), "outputs": json.dumps(_outputs(core)), "params": None},
    }
    created = json.loads(files["report.json"]).get("created")
    if isinstance(created, str):
        described["utc_time_created"] = f"{datetime.fromisoformat(created).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    return described


def _inputs(contract: Contract) -> list[dict[str, Json]]:
    """Name the raw columns. They are of any type: the contract reads `1,234.5`, "1234.5" and 1234.5 as one number."""
    return [{"type": "any", "name": field.name, "required": True} for field in contract.fields]


def _outputs(core: Core) -> list[dict[str, Json]]:
    types = {"float32": "float", "float64": "double", "int64": "long", "string": "string"}
    named = {str(port["name"]): types[str(port["type"])] for port in core.outputs if port["name"] != "probabilities"}
    first = [name for name in ("label", "decision") if name in named]
    columns = {name: named[name] for name in [*first, *named]}
    columns |= {f"probability.{label}": "float" for label in core.classes} | {"release": "string"}
    return [{"type": kind, "name": name, "required": True} for name, kind in columns.items()]


def _requirements(lock: Mapping[str, str]) -> list[str]:
    own = f"holdtrue=={lock['holdtrue']}" if "holdtrue" in lock else "holdtrue"
    return [f"mlflow>={OLDEST_MLFLOW}", own, *(f"{name}=={lock[name]}" for name in PINNED if name in lock)]


def _python_env(lock: Mapping[str, str]) -> dict[str, Json]:
    return {
        "python": lock.get("python", "3.11"),
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": [f"-r {REQUIREMENTS}"],
    }


def _conda(lock: Mapping[str, str]) -> dict[str, Json]:
    return {
        "channels": ["conda-forge"],
        "dependencies": [f"python={lock.get('python', '3.11')}", "pip", {"pip": list(_requirements(lock))}],
        "name": "holdtrue-release",
    }


def _example(contract: Contract, golden: bytes) -> dict[str, Json]:
    """Write a few golden rows as raw rows, with dates as people write them where they read back the same."""
    typed = pl.read_parquet(io.BytesIO(golden)).head(EXAMPLE_ROWS)
    typed = typed.select(pl.col(f"{INPUT}{name}").alias(name) for name in contract.names)
    dates = [field for field in contract.fields if field.kind == "date"]
    told = typed.with_columns(_dated(field, typed[field.name]) for field in dates)
    read = parse(contract, told)
    wrong = [field for field in dates if not read[field.name].equals(typed[field.name])]
    # A number is always read as a count from 1970.
    told = told.with_columns(_counted(field, typed[field.name]) for field in wrong)
    rows: list[Json] = [[_whole(value) for value in row] for row in told.iter_rows()]
    return {"columns": [*contract.names], "data": rows}


def _dated(field: Field, seconds: pl.Series) -> pl.Series:
    form = next((form for form in field.formats if form not in EPOCH_FORMATS), None)
    texts = [
        None if value is None else f"{EPOCH + timedelta(seconds=value):{form}}" if form else iso_of_seconds(value)
        for value in seconds.to_list()
    ]
    return pl.Series(field.name, texts, dtype=pl.String)


def _counted(field: Field, seconds: pl.Series) -> pl.Series:
    return seconds * (1000.0 if "epoch_ms" in field.formats else 1.0)


def _whole(value: Json) -> Json:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _yaml(value: Mapping[str, Json]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True, width=1_000_000)
