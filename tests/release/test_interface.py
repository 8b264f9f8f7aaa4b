"""The interface is read only in the one form it is written in."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from made_release import graph

from holdtrue.core.errors import Refused
from holdtrue.release.interface import Interface, Port, interface_of, read_interface

MODEL = graph().model().SerializeToString()


def test_an_interface_is_read_off_the_graph() -> None:
    assert interface_of(MODEL) == Interface(
        inputs=(Port(name="age", type="float64", shape=(None, 1)), Port(name="city", type="string", shape=(None, 1))),
        outputs=(
            Port(name="probabilities", type="float32", shape=(None, 2)),
            Port(name="decision", type="int64", shape=(None, 1)),
            Port(name="label", type="string", shape=(None, 1)),
        ),
    )


def test_an_interface_is_read_back_as_it_was_written() -> None:
    made = interface_of(MODEL, tolerance=1e-6)
    assert read_interface(made.to_json()) == made
    assert [port.places for port in made.outputs] == [2, 1, 1]


HARMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "an unknown key": lambda value: value.update(more=1),
    "another schema": lambda value: value.update(schema="holdtrue/signature/2"),
    "no inputs": lambda value: value.pop("inputs"),
    "inputs that are a number": lambda value: value.update(inputs=7),
    "a name that is a number": lambda value: value["inputs"][0].update(name=7),
    "an unknown type": lambda value: value["inputs"][0].update(type="complex"),
    "fixed rows": lambda value: value["inputs"][0].update(shape=[3, 1]),
    "two open sizes": lambda value: value["inputs"][0].update(shape=[None, None]),
    "no shape": lambda value: value["inputs"][0].update(shape=[]),
    "a negative size": lambda value: value["outputs"][0].update(shape=[None, -1]),
    "one name twice": lambda value: value["inputs"][0].update(name="city"),
    "an output named like an input": lambda value: value["outputs"][0].update(name="city"),
    "a tolerance that allows anything": lambda value: value.update(tolerance=1.0),
    "a tolerance below zero": lambda value: value.update(tolerance=-1.0),
    "an infinite tolerance": lambda value: value.update(tolerance=1e999),
}


@pytest.mark.parametrize("name", HARMS)
def test_any_other_form_is_refused(name: str) -> None:
    value = interface_of(MODEL).to_dict()
    HARMS[name](value)
    with pytest.raises(Refused):
        read_interface(json.dumps(value, indent=1, ensure_ascii=False).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_json_table_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_interface(data)
