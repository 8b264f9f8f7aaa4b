"""What the documents show works: a reader copies it."""

import re
from pathlib import Path

import pytest

from holdtrue.data.contract_yaml import read_yaml
from holdtrue.spec import load

ROOT = Path(__file__).parents[1]
BARE = "data: {source: rows.csv, target: y}\n"
BLOCKS = {
    f"{page.relative_to(ROOT)}-{number}": block
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_file_that_is_shown_is_right(name: str) -> None:
    text = BLOCKS[name]
    if text.startswith("fields:"):
        assert read_yaml(text).fields
        return
    whole = text if "data:" in text else BARE + text
    settings = load([("holdtrue.yaml", whole)], environ={}).project.model_fields_set
    assert settings > {"data"}
