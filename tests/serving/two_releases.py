"""A project with two releases, and a client that asks without a pause."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.driver import launched
from tests.serving.endpoint import PROJECT, Served, copied, rows

from holdtrue.pipeline.keeping import keeper_of


def second_release(made: Path, to: Path) -> tuple[str, str]:
    """Copy the project and make another release in it; gives the digests of both, the champion's first."""
    folder = copied(made, to)
    (folder / "holdtrue.yaml").write_text(
        PROJECT.replace("seed: 7", "seed: 8").replace("at_least: 0.6", "at_least: 0.5")
    )
    done = launched("run", folder=folder)
    assert done.code == 0, done.err
    found = {row.digest for row in keeper_of(folder, {}, actor="tester").releases()[0].rows}
    assert len(found) == 2
    first = next(iter((made / ".holdtrue" / "releases").iterdir())).name
    return first, next(iter(found - {first}))


@dataclass(kw_only=True)
class Asking:
    """Asks from several threads until the block ends; `answers` are (time, release, id), `failed` what else came.

    A connection that the endpoint says it ends is made anew, as every client does.
    """

    served: Served
    threads: int = 3
    answers: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    failed: list[str] = field(default_factory=list[str])

    def __enter__(self) -> "Asking":
        self._going = True
        self._running = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        for thread in self._running:
            thread.join()

    def releases_since(self, at_s: float) -> set[str]:
        return {release for when, release, _ in list(self.answers) if when > at_s}

    def _ask(self, seed: int) -> None:
        bodies = [json.dumps([row]).encode() for row in rows(20, seed=seed, target=False)]
        talk = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=20)
        turn = 0
        while self._going:
            turn += 1
            began = time.monotonic()
            try:
                talk.request("POST", "/predict", bodies[turn % 20], {"content-type": "application/json"})
                got = talk.getresponse()
                told = json.loads(got.read())
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                talk.close()
                continue
            if got.status == 200 and got.headers["x-holdtrue-release"] == told["release"]:
                self.answers.append((began, told["release"], told["prediction_id"]))
            else:
                self.failed.append(f"{got.status}: {told}")
        talk.close()
