"""What `holdtrue status` says of a running endpoint, and why it is so."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.driver import launched
from tests.serving.endpoint import Served, rows, serving, until

ROW = rows(1, target=False)[0]


def why(folder: Path) -> list[dict[str, Any]]:
    done = launched("status", "--why", "--json", folder=folder)
    assert done.code == 0, done.err
    return json.loads(done.out)["why"]


@pytest.fixture
def here(trips_folder: Path) -> Path:
    return trips_folder


@pytest.mark.slow
def test_status_says_who_had_it_answer_with_what_and_why_requests_are_turned_away(here: Path) -> None:
    with serving(here) as served:
        for _ in range(3):
            served.ask("POST", "/predict", {**ROW, "region": "nowhere"})
        served.ask("GET", "/v2", None, {"host": "evil.example"})
        done = launched("traffic", "champion=1", "--reason", "as agreed", folder=here, HOLDTRUE_ACTOR="lea")
        assert done.code == 0, done.err
        until(lambda: any("422" in each["what"] for each in why(here)))
        found = {each["what"]: each for each in why(here)}
        act = found[f"{served.digest[:12]} is here"]["why"]
        assert act.startswith("traffic changed by lea at 20")
        assert act.endswith(": as agreed")
        assert "broke the contract" in found["3 requests got 422"]["why"]
        assert "--allow-host" in found["1 request got 421"]["do"]
        said = launched("status", "--why", folder=here).out
        assert "3 requests got 422: their rows broke the contract" in said
        assert "why" not in json.loads(launched("status", "--json", folder=here).out)


@pytest.mark.slow
def test_status_tells_of_receipts_that_cannot_be_written(here: Path) -> None:
    with serving(here) as served:
        assert served.ask("POST", "/predict", ROW).status == 200
        _fill(served)
        until(lambda: served.ask("POST", "/predict", ROW).status == 503, within_s=20)
        until(lambda: any("receipts cannot be written" in each["why"] for each in why(here)), within_s=20)
        (fault,) = [each for each in why(here) if "receipts cannot be written" in each["why"]]
        assert fault["why"].startswith("1 of 1 workers: ")
        assert "room" in fault["do"]
        assert "WRONG: 1 of 1 workers: receipts cannot be written" in launched("status", folder=here).out


def _fill(served: Served) -> None:
    """Let no process of the worker's write files any longer than they are: as a full disk does."""
    import resource

    (worker,) = served.workers()
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, 1))


@pytest.mark.slow
def test_status_tells_of_a_list_of_tokens_that_cannot_be_believed(here: Path) -> None:
    with serving(here) as served:
        (here / ".holdtrue" / "keys").mkdir(exist_ok=True)
        (here / ".holdtrue" / "keys" / "tokens.json").write_text("{")
        time.sleep(1.1)
        served.ask("GET", "/v2", None, {"authorization": "Bearer x"})
        until(lambda: any("tokens" in each["do"] for each in why(here)), within_s=20)
