"""What a release did not answer, and why, is counted for it alone; what would have hit any release is not."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.serving.endpoint import NAME, Served, rows, serving, until
from tests.serving.lanes import BAD, Hall, Twice, all_answered, asked
from tests.serving.test_lane import story

from holdtrue.serving.ask import Answer, Ask, Problem
from holdtrue.serving.metrics import ERRORS, Metrics, exposition, latency
from holdtrue.serving.reader import Unfit

ROW = rows(1, target=False)[0]


def lost(metrics: Metrics) -> Mapping[str, float]:
    """Give what was counted by route and cause."""
    return {"/".join(labels[2:]): value for name, labels, value in metrics.snapshot() if name == ERRORS}  # pyright: ignore[reportReturnType]


def test_a_graph_that_fails_and_a_deadline_are_counted_and_an_answer_is_not(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice(row_s=0.001, takes_s=0.02))
        fine, bad = asked(1.0), asked(BAD)
        bad.job.route = "canary"
        lane.submit(fine.job)
        await asyncio.sleep(0.005)
        late, gone = asked(2.0, deadline_s=0.0), asked(3.0)
        gone.left = True
        for each in (bad, late, gone):
            lane.submit(each.job)
        await all_answered(fine, bad, late)
        assert bad.problem.status == 422
        assert lost(here.metrics) == {"canary/graph": 1, "champion/late": 1, "champion/left": 1}
        lane.close()

    story(tmp_path, told)


def test_a_lane_that_is_full_is_counted_before_and_after_the_body_is_read(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice(row_s=0.5, takes_s=0.02), most_wait_s=0.6)
        first = [asked(1.0), asked(1.0)]
        for each in first:
            lane.submit(each.job)
        for route in ("canary", "shadow"):
            refused = asked(2.0)
            refused.job.route = route
            with pytest.raises(Problem, match="too many"):
                lane.check_early(route)
            with pytest.raises(Problem, match="too many"):
                lane.submit(refused.job)
        assert lost(here.metrics) == {"canary/overloaded": 2, "shadow/overloaded": 2}
        await all_answered(*first)
        lane.close()

    story(tmp_path, told)


def test_rows_that_break_the_contract_of_a_release_are_counted_as_that(tmp_path: Path) -> None:
    class Strict:
        def read(self, *_: object) -> Any:
            raise Unfit(["column 'age': 1 value is negative"])

    async def told(here: Hall) -> None:
        model = Twice()
        model.reader = Strict()  # pyright: ignore[reportAttributeAccessIssue] - it is all that is asked of it
        with pytest.raises(Unfit):
            here.lane(model).read(Ask(rows=1, columns={}), "canary", None)
        assert lost(here.metrics) == {"canary/contract": 1}

    story(tmp_path, told)


def test_an_answer_that_fits_no_form_is_counted_and_a_client_still_hears_something(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice())
        one = asked(1.0)
        heard = one.job.done

        def done(answer: Answer | Problem) -> None:
            if isinstance(answer, Answer):
                raise ValueError("there is no form for it")
            heard(answer)

        one.job.done = done
        lane.submit(one.job)
        await all_answered(one)
        assert one.problem.status == 500
        assert lost(here.metrics) == {"champion/unwritten": 1}

    story(tmp_path, told)


def test_latency_is_given_by_release_and_as_prometheus_counts_it(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        for seconds in (0.0001, 0.002, 0.002, 60.0):
            here.metrics.observe("holdtrue_request_duration_seconds", ("twice", "abc", "canary"), seconds)
        found = json.loads(json.dumps(latency(here.metrics.snapshot())))
        (one,) = found["answers"]
        assert (one["model"], one["release"], one["route"]) == ("twice", "abc", "canary")
        assert dict(zip(found["bounds_s"], one["counts"], strict=False))[0.0025] == 2
        assert (one["counts"][0], one["counts"][-1], sum(one["counts"])) == (1, 1, 4)
        assert one["sum_s"] == pytest.approx(60.0041)
        here.metrics.lose("twice", "abc", "canary", "graph")
        line = 'holdtrue_release_errors_total{model="twice",release="abc",route="canary",cause="graph"} 1'
        assert line in exposition(here.metrics).decode()

    story(tmp_path, told)


@pytest.mark.slow
def test_the_management_plane_tells_both_and_leaves_out_what_is_nobodys_fault(trips_folder: Path) -> None:
    with serving(trips_folder) as served:
        for _ in range(3):
            assert served.ask("POST", "/predict", ROW).status == 200
        assert served.ask("POST", "/predict", {**ROW, "region": "nowhere"}).status == 422
        assert served.ask("POST", "/predict", b"{", {"content-type": "application/json"}).status == 400
        assert served.ask("POST", "/predict", ROW, {"x-request-timeout": "0"}).status == 504
        version = served.digest[:12]
        until(lambda: _errors(served) == {f"{version},champion,contract": 1, f"{version},champion,late": 1})
        (one,) = served.ask("GET", "/status", manage=True).json["latency"]["answers"]
        assert (one["model"], one["release"], one["route"], sum(one["counts"])) == (NAME, version, "champion", 3)


def _errors(served: Served) -> dict[str, float]:
    counters = served.ask("GET", "/status", manage=True).json["counters"]
    return {
        name.removeprefix(f"{ERRORS}{{{NAME},").removesuffix("}"): value
        for name, value in counters.items()
        if name.startswith(ERRORS)
    }
