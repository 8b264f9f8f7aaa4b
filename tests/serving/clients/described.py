# pyright: basic, reportMissingImports=false
# The packages are those of .venv/schemathesis, not ours.
"""Tells Schemathesis what no schema can: bodies that are no JSON, and names of releases and columns that are there."""

import csv
import io
import json

import schemathesis
from hypothesis import strategies as st

COLUMNS = ("age", "income", "nights", "seen", "region", "channel", "note")
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(60, 120)),
        st.floats(-1e9, 1e9),
        st.integers(0, 60),
        st.dates().map(str),
        st.sampled_from(["east", "north", "south"]),
        st.one_of(st.none(), st.text(max_size=20)),
        st.one_of(st.none(), st.text(max_size=20)),
    ),
    min_size=1,
    max_size=5,
)


def as_csv(rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows([COLUMNS, *rows])
    return out.getvalue().encode("utf-8", "replace")


def as_tensors(rows):
    inputs = [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": "FP64" if name in ("age", "income", "nights") else "BYTES",
            "data": [row[place] for row in rows],
        }
        for place, name in enumerate(COLUMNS)
    ]
    return json.dumps({"inputs": inputs}).encode()


schemathesis.openapi.media_type("text/csv", ROWS.map(as_csv))
schemathesis.openapi.media_type("application/octet-stream", ROWS.map(as_tensors))


@schemathesis.hook
def map_body(context, body):
    """Give what moves traffic the names of a release, a model and a column; what is not a text stays as it is."""
    if context.operation.path != "/traffic" or not isinstance(body, dict):
        return body
    named = {"model": "trips", "champion": "champion", "sticky": "region"}
    made = {key: named[key] if key in named and isinstance(value, str) else value for key, value in body.items()}
    if isinstance(made.get("shadow"), list) and all(isinstance(name, str) for name in made["shadow"]):
        made["shadow"] = []
    weights = made.get("weights")
    if isinstance(weights, dict) and len(weights) == 1:
        made["weights"] = dict.fromkeys(["champion"], *weights.values())
    return made
