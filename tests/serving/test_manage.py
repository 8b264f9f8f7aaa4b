"""What those who run an endpoint may ask of it, and what is refused without changing anything."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.serving.endpoint import NAME, Answer, Served, token

pytestmark = pytest.mark.slow


def shift(served: Served, **body: Any) -> Answer:
    return served.ask("POST", "/traffic", body, manage=True)


def model(served: Served) -> Mapping[str, Any]:
    return served.ask("GET", "/status", manage=True).json["models"][NAME]  # type: ignore[no-any-return]


def test_the_management_socket_is_for_its_owner_and_nothing_of_it_is_on_the_port(served: Served) -> None:
    assert stat.S_IMODE(Path(served.manage).stat().st_mode) == 0o600
    for method, path in (("GET", "/status"), ("POST", "/traffic"), ("POST", "/reload"), ("POST", "/stop")):
        assert served.ask(method, path, b"{}" if method == "POST" else None).status == 404


def test_who_shows_a_token_is_judged_by_it_although_none_is_needed(served: Served) -> None:
    _, secret = token(served.folder, "predict")
    statuses = [
        served.ask("GET", "/status", headers={"authorization": f"Bearer {shown}"}, manage=True).status
        for shown in (secret, f"ht_{'0' * 12}_{'A' * 43}")
    ]
    assert statuses == [403, 401]


def test_status_says_what_is_served_by_whom(served: Served) -> None:
    state = served.ask("GET", "/status", manage=True).json
    assert state["pid"] == served.process.pid
    assert (state["url"], state["follows"], state["faults"]) == (served.url, "champion", [])
    assert model(served)["weights"] == {served.digest: 1.0}
    assert model(served)["champion"] == served.digest


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"weights": {"nobody": 1}}, "nobody"),
        ({"weights": {"champion": -1}}, "cannot be routed"),
        ({"weights": {"champion": 0}}, "cannot be routed"),
        ({"weights": {}}, "not of one model"),
        ({"weights": {"champion": 1}, "sticky": "ages"}, "'ages'; did you mean 'age'?"),
        ({"weights": {"champion": 1}, "bandit": True}, "cannot be routed"),
        ({"weights": {"champion": 1}, "model": "other"}, "not of one model"),
    ],
)
def test_traffic_that_cannot_be_is_refused_and_nothing_changes(served: Served, body: Any, told: str) -> None:
    before = model(served)
    refused = shift(served, **body)
    assert refused.status == 422
    assert told in refused.json["error"], refused.json
    assert model(served) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"weights": {"champion": "much"}}', b'{"weight": {}}', b"\xff"])
def test_what_is_no_description_of_traffic_is_malformed(served: Served, body: bytes) -> None:
    answer = served.ask("POST", "/traffic", body, {"content-type": "application/json"}, manage=True)
    assert (answer.status, answer.json["code"]) == (400, "malformed")


def test_two_names_of_one_release_share_its_weight(served: Served) -> None:
    done = shift(served, weights={"champion": 1, served.digest[:10]: 2}, sticky="age", reason="tried")
    assert done.json["weights"] == {served.digest: 3.0}
    assert model(served)["sticky"] == "age"
