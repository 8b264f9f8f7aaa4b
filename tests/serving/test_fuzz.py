"""Twenty thousand requests that nobody should send: each is answered in time, and the endpoint is as it was before."""

import json
from itertools import islice

import pytest
from tests.serving.endpoint import Served, rows, token
from tests.serving.fuzzing import Seen, fuzz
from tests.serving.grammar import CHANGES, MAKERS, cases

REQUESTS = 20_000
WARM = 3_000
GROWTH_BYTES = 50 << 20


def test_the_grammar_says_the_same_for_the_same_seed() -> None:
    first, again, other = ([case.sent for case in islice(cases(seed, secret=""), 200)] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(CHANGES) + len(MAKERS) > 20


@pytest.mark.slow
def test_no_request_of_the_grammar_breaks_or_delays_an_endpoint(served: Served) -> None:
    workers = served.workers()
    seen = Seen()
    stream = cases(20_261_121, secret=token(served.folder, "label")[1])
    fuzz(served, stream, WARM, seen)
    before = served.resident_bytes()
    fuzz(served, stream, REQUESTS, seen)
    assert not seen.wrong, "\n".join(seen.wrong[:5])
    assert sum(seen.statuses.values()) == WARM + REQUESTS
    assert {200, 400, 404, 413, 415, 422} <= set(seen.statuses)
    assert seen.statuses[200] < 0.5 * (WARM + REQUESTS)
    assert served.workers() == workers
    assert served.ask("GET", "/status", manage=True).json["restarts"] == 0
    assert served.resident_bytes() - before < GROWTH_BYTES
    row = rows(1, target=False)
    assert served.ask("POST", "/predict", json.dumps(row).encode(), {"content-type": "application/json"}).status == 200
