"""The card tells what the report holds, marks what was only declared, and never invents."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from made_release import parts
from made_report import REPORT

from holdtrue.release.card import DECLARED, NOT_STATED, card, plain

CORE = parts().core
SAID = {"license": "cc-by-4.0", "owner": "Ada", "intended_use": "ranking calls", "limitations": "one country"}


def matter(text: str) -> dict[str, Any]:
    """Read the front matter as a hub does: between the first two lines of three dashes."""
    opening, block, _ = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(block)


def test_the_front_matter_holds_what_hubs_read() -> None:
    found = matter(card(REPORT, CORE, declared=SAID))
    assert found["license"] == "cc-by-4.0"
    assert found["library_name"] == "holdtrue"
    assert found["pipeline_tag"] == "tabular-classification"
    assert found["tags"] == ["holdtrue", "onnx", "tabular-classification"]
    assert found["datasets"] == ["hotel-bookings.csv.gz"]
    assert found["metrics"] == ["roc_auc", "log_loss"]


def test_the_model_index_holds_every_measured_metric_with_its_interval() -> None:
    (entry,) = matter(card(REPORT, CORE))["model-index"]
    assert entry["name"] == CORE.name
    (result,) = entry["results"]
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"]["revision"] == CORE.lineage.snapshot
    assert {"name", "type", "split"} <= result["dataset"].keys()
    first, second = result["metrics"]
    assert (first["type"], first["name"], first["value"]) == ("roc_auc", "ROC AUC", 0.9123)
    assert first["args"] == {"low": 0.8901, "high": 0.9345, "confidence": 0.9, "rows": 500, "method": "DeLong"}
    assert all(isinstance(metric["value"], float) and math.isfinite(metric["value"]) for metric in (first, second))


def test_a_report_without_numbers_has_no_model_index() -> None:
    found = matter(card({}, CORE))
    assert "model-index" not in found
    assert found["metrics"] == []
    assert found["license"] == "unknown"


def test_every_part_of_the_report_is_told() -> None:
    text = card(REPORT, CORE, declared=SAID)
    for words in (
        "Every required promise is proven",
        f"`{CORE.digest}`",
        "| ROC AUC at least 0.82 | **proven** | 0.91 | 0.8901 | not stated | 500 | DeLong |",
        "| ROC AUC | 0.9123 (0.8901 to 0.9345) | 500 | DeLong |",
        "| Log loss | 0.31 (0.28 to ∞) | 500 | DeLong |",
        "| MCC | not stated | 500 | DeLong |",
        "| logistic | baseline | 0.85 (0.82 to 0.88) |",
        "| country | true\\_positive\\_rate | 0.08 (0.02 to 0.15) | few rows |",
        "| city = Oslo | 60 | 0.7 (0.6 to 0.8) | 0.92 |",
        "Calibration error: 0.021 (0.01 to 0.04).",
        "| noise | 0.1 | roc\\_auc | 0.01 (0 to 0.02) |",
        "| age&lt;b&gt; | 0.2 (0.18 to 0.22) |",
        "- Predicted column: left\\|stayed",
        "| train | 1500 | 2015-07-01 | 2016-12-31 |",
        "Split by time.",
        "- Owner: Ada",
        "- Seed: 7",
    ):
        assert words in text, words
    assert "city = Lyon" not in text


def test_what_nobody_said_stays_not_stated() -> None:
    text = card(REPORT, CORE)
    for title in DECLARED.values():
        assert f"- {title}: {NOT_STATED}" in text
    assert "Said by the makers; nothing here was measured." in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "refuted"}, "At least one promise is refuted"),
        ({"verdict": "unproven"}, "At least one promise is not proven"),
        ({"verdict": None}, "No verdict is recorded."),
        ({"models": [{"name": "tree", "role": "champion", "beaten_by_baseline": True}]}, "loses to a baseline"),
        ({"promises": []}, "None was made."),
        ({"fairness": []}, "Fairness: not measured."),
        ({"slices": []}, "No weak group was found."),
        ({"calibration": None}, "Calibration error: not stated."),
    ],
)
def test_a_bad_or_missing_result_is_said(change: dict[str, Any], words: str) -> None:
    assert words in card({**REPORT, **change}, CORE)


def test_the_same_report_gives_the_same_card() -> None:
    assert card(REPORT, CORE, declared=SAID) == card(REPORT, CORE, declared=SAID)


@given(st.text())
def test_a_text_from_the_data_stays_one_cell(text: str) -> None:
    told = plain(text)
    assert "\n" not in told
    assert "<" not in told
    assert told.replace("\\|", "").count("|") == 0


@given(st.text(max_size=30))
def test_no_source_name_breaks_the_front_matter(source: str) -> None:
    report = {**REPORT, "data": {**REPORT["data"], "source": source}}
    found = matter(card(report, CORE, declared={"license": source or "unknown"}))
    assert found["license"] == (" ".join("".join(c if c.isprintable() else " " for c in source).split()) or "unknown")
    assert len(found["datasets"]) == 1
