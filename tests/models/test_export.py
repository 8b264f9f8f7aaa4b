"""One graph from typed columns to the answer, and the record that describes it."""

import json
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest

from holdtrue.features.encoder import fit, transform
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.models.answers import Correction, Decision, Interval
from holdtrue.models.boundary import edges_of, proving_rows
from holdtrue.models.export import Deployed, assemble, reference, reference_predict
from holdtrue.models.learner import LEARNERS, Fitted, Rows
from holdtrue.models.proof import prove
from holdtrue.models.settings import defaults

KINDS = {"value": "number", "heavy": "number", "day": "date", "label": "category", "words": "text"}
CLASSES = ("no", "perhaps", "yes")
SMALL: dict[str, Any] = {"trees": 20}


def table(rows: int = 300, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """Rows whose column names are those of a graph's outputs."""
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "value": chance.normal(size=rows),
            "heavy": np.exp(chance.normal(size=rows) * 2),
            "day": chance.integers(0, 10**9, rows).astype(np.float64),
            "label": chance.choice(["a", "b", "c"], rows),
            "words": [f"w{number}" for number in chance.zipf(1.6, rows) % 99],
        }
    )
    score = frame["value"].to_numpy() + (frame["label"] == "a").to_numpy() + 0.3 * chance.normal(size=rows)
    gaps = pl.Series(chance.random(rows) < 0.15)
    return frame.with_columns(pl.when(~gaps).then(pl.col("value", "day", "label"))), score


def learnt(name: str, classes: int, rows: int = 300) -> tuple[Any, Fitted]:
    frame, score = table(rows)
    learner = LEARNERS.get(name)
    encoder = fit(frame, KINDS, learner.flavour)
    truth = np.searchsorted([0.5, 1.2][: classes - 1], score).astype(np.float64) if classes else 100 * score
    settings = defaults(learner.space)
    settings = {**settings, **{key: value for key, value in SMALL.items() if key in settings}}
    return encoder, learner.fit(Rows(x=transform(encoder, frame), y=truth, classes=classes), settings, 1, None)


def described(name: str, classes: int) -> tuple[Deployed, Fitted]:
    encoder, fitted = learnt(name, classes)
    if classes == 0:
        return Deployed(encoder=encoder, interval=Interval(below=0.2, above=0.4, floor=1.0)), fitted
    costs = ((0.0, 1.0, 2.0), (3.0, 0.0, 1.0), (5.0, 1.0, 0.0))
    return Deployed(
        encoder=encoder,
        classes=CLASSES[:classes],
        correction=Correction(slope=0.6, offset=-0.1 if classes == 2 else 0.0),
        decision=Decision(threshold=0.3) if classes == 2 else Decision(costs=costs),
    ), fitted


def cases() -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for name in LEARNERS.names():
        tasks = LEARNERS.get(name).tasks
        found += [(name, classes) for classes in (2, 3) if "classification" in tasks]
        found += [(name, 0)] if "regression" in tasks else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes"), cases())
def test_every_learner_is_proven_from_columns_to_decision(name: str, classes: int) -> None:
    deployed, fitted = described(name, classes)
    model = assemble(deployed, fitted)
    frame, served = table()[0], table(seed=1)[0]
    rows = proving_rows(frame, served, KINDS, edges_of(model, deployed.encoder), 0)
    proof = prove(model, reference(deployed, fitted), rows)
    assert proof.max_difference < 1e-6
    assert proof.decisions_differing == 0
    assert proof.rows == sum(part.height for part in rows.values())


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_record_survives_json(classes: int) -> None:
    deployed = described("decision_tree", classes)[0]
    assert Deployed.from_dict(json.loads(json.dumps(deployed.to_dict(), allow_nan=False))) == deployed


def test_the_same_model_gives_the_same_bytes() -> None:
    assert assemble(*described("lightgbm", 3)) == assemble(*described("lightgbm", 3))


def test_classification_answers_probabilities_decision_and_label() -> None:
    model = assemble(*described("decision_tree", 2))
    answered = run(session(model), table(seed=1)[0])
    assert {name: (values.dtype.name, values.shape[1]) for name, values in answered.items()} == {
        "probabilities": ("float32", 2),
        "decision": ("int64", 1),
        "label": ("object", 1),
    }
    np.testing.assert_allclose(answered["probabilities"].sum(axis=1), 1.0, rtol=1e-6)
    assert (answered["decision"][:, 0] == (answered["probabilities"][:, 1] >= np.float32(0.3))).all()
    assert (answered["label"][:, 0] == np.array(CLASSES)[answered["decision"][:, 0]]).all()


def test_regression_answers_a_value_between_its_limits() -> None:
    answered = run(session(assemble(*described("decision_tree", 0))), table(seed=1)[0])
    assert set(answered) == {"value", "low", "high"}
    assert ((answered["low"] <= answered["value"]) & (answered["value"] <= answered["high"])).all()


def test_the_graph_takes_the_columns_the_encoder_uses_and_no_other() -> None:
    deployed, fitted = described("decision_tree", 2)
    graph = onnx.load_from_string(assemble(deployed, fitted)).graph
    assert len(graph.input) == len(deployed.encoder.columns)
    assert not {entry.name for entry in graph.input} & {entry.name for entry in graph.output}


def test_the_reference_asks_the_fitted_object_itself() -> None:
    deployed, fitted = described("lightgbm", 2)
    frame = table(seed=1)[0]
    raw = fitted.predict(transform(deployed.encoder, frame))
    expected = deployed.correction.apply(raw)
    made = reference_predict(deployed, fitted, frame)
    assert made["probabilities"].tobytes() == expected.tobytes()
    assert made["slack"].tobytes() == np.abs(expected[:, 1] - 0.3).tobytes()
