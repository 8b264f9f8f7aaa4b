"""Whatever the model is, the verdict comes in time, and only the child may die of it."""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hostile import BYTES, GOOD, HARMS, data, harmed
from made_release import Parts, graph, key, parts, written

from holdtrue.core.errors import Refused
from holdtrue.features.graph import Graph
from holdtrue.release.held import GOLDEN, INTERFACE
from holdtrue.release.quarantine import Finding, Limits, admit, examine
from holdtrue.release.signing import trusted_keys

PARTS = parts()


def asked(model: bytes, limits: Limits | None = None) -> Finding:
    return examine(
        model, golden=PARTS.files[GOLDEN], interface=PARTS.files[INTERFACE], limits=limits or Limits(wall_s=60.0)
    )


@pytest.mark.slow
def test_a_good_model_is_admitted_with_what_was_shown() -> None:
    found = asked(GOOD)
    assert found.statements == ("53 golden rows give the stored answers bit for bit",)
    assert 50 << 20 < found.peak_bytes < 1 << 30


@pytest.mark.slow
def test_bytes_that_passed_are_known_and_all_others_are_examined() -> None:
    limits = Limits(wall_s=61.0)
    first = asked(GOOD, limits)
    assert asked(GOOD, limits) is first
    assert asked(GOOD, Limits(wall_s=62.0)) is not first
    for _ in range(2):
        with pytest.raises(Refused):
            asked(GOOD + b"x", limits)
    with pytest.raises(Refused):
        examine(GOOD, golden=PARTS.files[GOLDEN][:-1], interface=PARTS.files[INTERFACE], limits=limits)


def bomb(build: Callable[[Graph], str]) -> bytes:
    """A good model that also computes something enormous."""
    return data(graph(build).model())


def vast(made: Graph) -> str:
    return made.node("ConstantOfShape", made.constant(np.array([2_684_354_560], dtype=np.int64)))


def expanded(made: Graph) -> str:
    size = made.constant(np.array([50_000, 50_000], dtype=np.int64))
    return made.node("Expand", made.constant(np.zeros(1, dtype=np.float32)), size)


CHOSEN = {
    "a pickle": ("not an ONNX model", BYTES["a pickle"][1]),
    "a byte too many": ("not an ONNX model", BYTES["a byte too many"][1]),
    "half a model": ("not an ONNX model", BYTES["half a model"][1]),
    "external data": ("external data", harmed(HARMS["external data"][1])),
    "ten gigabytes of zeros": ("ConstantOfShape", bomb(vast)),
    "zeros expanded to ten gigabytes": ("over the limit", bomb(expanded)),
    "the runtime's own format": ("own format", BYTES["a model in the runtime's own format"][1]),
    "nothing": ("IR version", b""),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_hostile_model_is_refused_and_this_process_lives(name: str) -> None:
    words, model = CHOSEN[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(Refused) as told:
        asked(model)
    assert words in str(told.value)
    assert time.monotonic() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.mark.slow
def test_an_if_in_an_if_fifteen_deep_is_refused() -> None:
    with pytest.raises(Refused, match="subgraph"):
        asked(harmed(HARMS["an If in an If, fifteen deep"][1]))


def heavy(made: Graph) -> str:
    """A chain of products that keeps within every size, and takes minutes."""
    wide = made.constant(np.zeros((4_000, 4_000), dtype=np.float32))
    row = made.node("Cast", "age", to=1)
    row = made.node("MatMul", row, made.constant(np.zeros((1, 4_000), dtype=np.float32)))
    for _ in range(200):
        row = made.node("MatMul", row, wide)
    return row


@pytest.mark.slow
def test_a_model_that_takes_too_long_is_ended() -> None:
    model = bomb(heavy)
    with pytest.raises(Refused, match="took more than 3 s of processor time"):
        asked(model, Limits(cpu_s=3, wall_s=60))
    with pytest.raises(Refused, match="took more than 1 s"):
        asked(model, Limits(cpu_s=60, wall_s=1))


def large(made: Graph) -> str:
    """Three hundred thousand numbers a row, all held at once: within the rule of sizes, over the limit of memory."""
    column = made.node("Cast", "age", to=1)
    return made.node("MatMul", column, made.constant(np.zeros((1, 1_000_000), dtype=np.float32)))


@pytest.mark.slow
def test_a_model_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(Refused) as told:
        asked(bomb(large))
    assert told.value.faults


def test_a_model_over_the_size_limit_is_not_even_looked_at() -> None:
    with pytest.raises(Refused, match="at most 10 are allowed"):
        asked(GOOD, Limits(model_bytes=10))


def test_a_child_without_memory_admits_nothing() -> None:
    with pytest.raises(Refused, match=r"memory|without a verdict|died"):
        asked(GOOD, Limits(memory_bytes=1 << 20))


def test_a_release_is_admitted_with_the_bytes_that_were_checked(store: Path) -> None:
    folder = next((store / "releases").iterdir())
    admitted = admit(folder, trusted=trusted_keys(store / "keys"))
    assert admitted.release.digest == folder.name
    assert admitted.files["model.onnx"] == (folder / "model.onnx").read_bytes()
    assert admitted.fingerprint == key(store).fingerprint


@pytest.mark.parametrize("name", ["external data", "an operator not on the list"])
def test_a_hostile_model_is_refused_though_our_own_key_signed_it(name: str, tmp_path: Path) -> None:
    words, harm = HARMS[name]
    made = written(tmp_path, PARTS.changed("model.onnx", harmed(harm)))
    with pytest.raises(Refused) as told:
        admit(made.folder, trusted=trusted_keys(tmp_path / "keys"))
    assert words in str(told.value)


@pytest.mark.slow
def test_a_manifest_that_names_other_columns_is_refused(tmp_path: Path) -> None:
    core = replace(PARTS.core, inputs=PARTS.core.inputs[:1])
    made = written(tmp_path, Parts(core=core, files=PARTS.files))
    with pytest.raises(Refused, match="other inputs"):
        admit(made.folder, trusted=trusted_keys(tmp_path / "keys"))


def test_the_signature_is_asked_before_the_model_is_looked_at(tmp_path: Path) -> None:
    made = written(tmp_path, PARTS.changed("model.onnx", b"cposix\nsystem\n."))
    with pytest.raises(Refused, match="not trusted here"):
        admit(made.folder, trusted={})
