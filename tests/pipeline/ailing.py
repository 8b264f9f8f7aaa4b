"""The parcel service with one thing wrong: each fault is put where it happens in life, and told to nobody.

A fault gives the folder that ails and the words that a person would ask `holdtrue why` with. The list of faults, what
is asked and the cause that is true stand in benchmarks/why/faults.json, which was written before any was tried.
"""

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from holdtrue.loop.controller import step
from holdtrue.loop.events import CanaryLooked, Compared, Done, Event, Requested, Ticked, Trained
from holdtrue.loop.policy import HOUR_US, Policy
from holdtrue.pipeline.alarming import alarms
from holdtrue.pipeline.budgeting import promises_of
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.looping import Loop
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import Ready, ready_model
from holdtrue.pipeline.workspace import open_workspace
from holdtrue.release.signing import PRIVATE
from holdtrue.serving.host import host_file, this_host
from holdtrue.serving.tokens import FILE as TOKENS
from holdtrue.serving.tokens import issue
from tests.cli.driver import Row, as_csv, holdtrue
from tests.pipeline.parcels import (
    DAYS,
    NAME,
    STREAM,
    Parcels,
    copied,
    last_midnight,
    made,
    parcels,
    release,
    text_of,
)
from tests.serving.endpoint import Served, serving, until

FAULTS = Path(__file__).parents[2] / "benchmarks" / "why" / "faults.json"
LISTED: Sequence[Mapping[str, str]] = json.loads(FAULTS.read_text())
HARDER: Sequence[Mapping[str, str]] = json.loads(FAULTS.with_name("harder.json").read_text())
WAIT_S = 60.0


@dataclass(kw_only=True)
class Ward:
    """Where the ailing projects lie; what is made once is kept for the next fault.

    Attributes:
        seed: of the traffic.
        closing: what must be ended after the question, such as an endpoint.
    """

    place: Path
    seed: int = 1
    closing: ExitStack = field(default_factory=ExitStack)
    readied: dict[str, Ready] = field(default_factory=dict[str, Ready])
    count: int = 0

    def fresh(self, text: str = "", *, name: str = "well") -> Parcels:
        """Give a copy of a project with its champion, and no traffic; `name` is that of the project as it was made."""
        base = self.place / name
        if not base.is_dir():
            made(base, text=text)
        self.count += 1
        found = copied(base, self.place / f"{self.count}", seed=self.seed, ready=self.readied.get(name))
        self.readied[name] = found.ready
        return found

    def served(self, patient: Parcels) -> Served:
        return self.closing.enter_context(serving(patient.folder))

    def discharge(self) -> None:
        """End what runs, and throw the copies away."""
        self.closing.close()
        for number in range(1, self.count + 1):
            shutil.rmtree(self.place / f"{number}", ignore_errors=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A folder that ails, and what is asked about it."""

    folder: Path
    about: str = ""


Fault = Callable[[Ward], Asked]


def ask(asked: Asked) -> Mapping[str, Any] | None:
    """Ask why, as a person does; gives the cause that is named first."""
    words = ("why", *([asked.about] if asked.about else []), "--json")
    return holdtrue(*words, folder=asked.folder).json["cause"]


def column(name: str, change: Callable[[Any, random.Random], object]) -> Callable[[Row, random.Random, int], Row]:
    """Bend one column of every row."""

    def bent(row: Row, chance: random.Random, day: int) -> Row:
        return {**row, name: row[name] if row[name] == "" else change(row[name], chance)}

    return bent


# Rows.


def feet(ward: Ward) -> Asked:
    bent = column("distance_m", lambda value, _: round(value / 0.3048, 1))
    return Asked(folder=ward.fresh().live(bent=bent).write().folder)


def swapped(ward: Ward) -> Asked:
    def bent(row: Row, chance: random.Random, day: int) -> Row:
        return {**row, "weight_kg": row["volume_l"], "volume_l": row["weight_kg"]}

    return Asked(folder=ward.fresh().live(bent=bent).write().folder)


def all_missing(ward: Ward) -> Asked:
    return Asked(folder=ward.fresh().live(bent=column("sensor_c", lambda _, __: "")).write().folder)


def new_category(ward: Ward) -> Asked:
    bent = column("carrier", lambda value, chance: "violet" if chance.random() < 0.2 else value)
    return Asked(folder=ward.fresh().live(bent=bent).write().folder)


def renamed(ward: Ward) -> Asked:
    bent = column("carrier", lambda value, _: "Crimson Ltd" if value == "red" else value)
    return Asked(folder=ward.fresh().live(bent=bent).write().folder)


def frozen(ward: Ward) -> Asked:
    return Asked(folder=ward.fresh().live(bent=column("sensor_c", lambda _, __: 3.97)).write().folder, about="sensor_c")


def other_zone(ward: Ward) -> Asked:
    def earlier(value: str, chance: random.Random) -> str:
        return f"{datetime.fromisoformat(value) - timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}"

    return Asked(folder=ward.fresh().live(bent=column("pickup", earlier)).write().folder)


def repeated(ward: Ward) -> Asked:
    return Asked(folder=ward.fresh().live(sent=3).write().folder)


def other_people(ward: Ward) -> Asked:
    patient = ward.fresh().live(far=0.4).write()
    done = holdtrue("watch", "--windows", "3", "--json", folder=patient.folder)
    assert done.code == 0, done.err
    alarm = next(one for one in alarms(patient.keeper) if one.seen.subject == "distance_m")
    return Asked(folder=patient.folder, about=alarm.id)


# Labels.


def other(value: object) -> str:
    return "no" if value == "yes" else "yes"


def no_labels(ward: Ward) -> Asked:
    return Asked(folder=ward.fresh().live(labelled_until=10).write().folder)


def noisy_source(ward: Ward) -> Asked:
    def said(row: Row, chance: random.Random, day: int, source: str) -> str:
        return chance.choice(["yes", "no"]) if source == "scanner" else str(row["late"])

    return Asked(folder=ward.fresh().live(said=said).write().folder)


def inverted(ward: Ward) -> Asked:
    patient = ward.fresh().live(said=lambda row, *_: other(row["late"])).write()
    return Asked(folder=patient.folder, about=promise_of(patient))


def other_meaning(ward: Ward) -> Asked:
    def said(row: Row, chance: random.Random, day: int, source: str) -> str:
        return other(row["late"]) if row["region"] == "islands" else str(row["late"])

    patient = ward.fresh().live(said=said).write()
    return Asked(folder=patient.folder, about=promise_of(patient))


def promise_of(patient: Parcels) -> str:
    """Give the text of the first promise of the champion."""
    return str(promises_of(patient.keeper, patient.keeper.folder_of("champion").name)[0]["text"])


# Trainings and releases.


def wrong_release(ward: Ward) -> Asked:
    patient = ward.fresh()
    drop = ("delay_min", "distance_m", "weight_kg", "sensor_c")
    (patient.folder / "holdtrue.yaml").write_text(
        text_of(drop=drop, accuracy=0.5).replace("at_least: 0.7}", "at_least: 0.5}")
    )
    worse = release(patient.folder, now=last_midnight() - timedelta(days=DAYS)).release
    done = holdtrue(
        "promote", worse, "champion", "--reason", "the new one", folder=patient.folder, HOLDTRUE_ACTOR="bob"
    )
    assert done.code == 0, done.err
    patient.ready = ready_model(patient.keeper, worse)
    patient.live().write()
    return Asked(folder=patient.folder, about=promise_of(patient))


def leak(ward: Ward) -> Asked:
    patient = ward.fresh(text_of(drop=("carrier",)), name="leaking")
    return Asked(folder=patient.live(bent=column("delay_min", lambda _, __: ""), since=0).write().folder)


def again(patient: Parcels, table: Sequence[Row], text: str) -> Asked:
    """Run the project on other rows."""
    (patient.folder / "rows.csv").write_text(as_csv(table))
    (patient.folder / "holdtrue.yaml").write_text(text)
    ran = holdtrue("run", "--json", folder=patient.folder)
    return Asked(folder=patient.folder, about=str(ran.json["run"]))


def lost_rows(ward: Ward) -> Asked:
    rows = parcels(200, until=last_midnight() - timedelta(days=1), seed=ward.seed + 100)
    return again(ward.fresh(), [row for row in rows if row["region"] != "north"][::2], text_of(accuracy=0.75))


def weak_segment(ward: Ward) -> Asked:
    until_ = last_midnight() - timedelta(days=1)
    rows = parcels(200, until=until_, seed=ward.seed + 100, islands=0.25, noise="islands")
    return again(ward.fresh(), rows, text_of(accuracy=0.8))


# Bytes that are not as they were.


def other_library(ward: Ward) -> Asked:
    patient = ward.fresh().live(days=2)
    # What another runtime gives: the same but for the last bit of each probability.
    patient.receipts = [msgspec.structs.replace(one, outputs=_nudged(one.outputs)) for one in patient.receipts]
    patient.write()
    then = msgspec.structs.replace(this_host(), libraries={**this_host().libraries, "onnxruntime": "1.17.0"})
    host_file(patient.folder / ".holdtrue" / "traffic" / NAME, STREAM).write_bytes(msgspec.json.encode(then))
    return Asked(folder=patient.folder, about=patient.receipts[7].id)


def _nudged(outputs: bytes) -> bytes:
    return bytes([outputs[0] ^ 1]) + outputs[1:]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.chmod(0o600)
    path.write_bytes(bytes(data))


def flipped_receipt(ward: Ward) -> Asked:
    patient = ward.fresh().live(days=2).write()
    id = patient.receipts[ward.seed % 5 + 3].id
    folder = patient.folder / ".holdtrue" / "traffic" / NAME
    (segment,) = (path for path in folder.rglob("*") if path.is_file() and id.encode() in path.read_bytes())
    flip(segment, segment.read_bytes().index(id.encode()) + 300)
    return Asked(folder=patient.folder, about=id)


def flipped_release(ward: Ward) -> Asked:
    patient = ward.fresh().live(days=2).write()
    model = patient.keeper.folder_of("champion") / "model.onnx"
    flip(model, model.stat().st_size // 2 + ward.seed)
    return Asked(folder=patient.folder)


def forged_ledger(ward: Ward) -> Asked:
    patient = ward.fresh().live(days=2).write()
    with sqlite3.connect(patient.folder / ".holdtrue" / "holdtrue.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        changed = connection.execute(
            "UPDATE ledger SET leaf = replace(leaf, 'tester', 'nobody') WHERE seq = 1"
        ).rowcount
        assert changed == 1
    connection.close()
    return Asked(folder=patient.folder)


def lost_key(ward: Ward) -> Asked:
    patient = ward.fresh().live(days=2).write()
    (patient.folder / ".holdtrue" / "keys" / PRIVATE).unlink()
    return Asked(folder=patient.folder)


# The loop.


def decided(patient: Parcels, policy: Policy, events: Sequence[Callable[[int, int], Event]]) -> None:
    """Let the controller decide on events an hour after each other; each is made from the time and the awaited deed."""
    store = LoopStore(keeper=patient.keeper)
    at_us = round((last_midnight() - timedelta(days=5)).timestamp() * 1e6)
    store.begin(patient.keeper.folder_of("champion").name, at_us)
    for make in events:
        at_us += 30 * HOUR_US
        token, before = store.acquire("tester", at_us), store.read()
        assert token is not None
        assert before is not None
        event = make(at_us, 0 if before.awaited is None else before.awaited.deed.id)
        after, actions = step(before, event, policy)
        assert store.commit(token, None, before, after, actions)


CHALLENGER = "c" * 64
ROC = "ROC AUC is at least 0.7"


def _asked_for(at_us: int, _: int) -> Event:
    return Requested(at_us=at_us, by="Ada")


def _trained(verdict: Any) -> Callable[[int, int], Event]:
    return lambda at_us, deed: Trained(
        at_us=at_us, action=deed, release=CHALLENGER, verdict=verdict, promises=(ROC,), cost=0.1
    )


def _done(at_us: int, deed: int) -> Event:
    return Done(at_us=at_us, action=deed)


def bad_canary(ward: Ward) -> Asked:
    patient = ward.fresh().live().write()

    def looked(at_us: int, deed: int) -> Event:
        signs: Any = {"errors": "worse", "latency": "not worse", "scores": "undecided"}
        return CanaryLooked(at_us=at_us, release=CHALLENGER, share=0.01, signals=signs, requests=1_200)

    compared: Callable[[int, int], Event] = lambda at_us, deed: Compared(  # noqa: E731
        at_us=at_us, action=deed, findings={ROC: "not worse"}
    )
    ticked: Callable[[int, int], Event] = lambda at_us, _: Ticked(at_us=at_us)  # noqa: E731
    walk = (_asked_for, _trained("proven"), compared, _done, ticked, _done, looked, _done)
    decided(patient, Policy(), walk)
    return Asked(folder=patient.folder, about="loop")


def storm(ward: Ward) -> Asked:
    patient = ward.fresh().live().write()
    decided(patient, Policy(), (_asked_for, _trained("refuted")) * 3)
    return Asked(folder=patient.folder, about="loop")


def looped(patient: Parcels, *, began: timedelta) -> Asked:
    """Let the loop of the project begin in the past, and take its turns of now."""
    now_us = round((last_midnight() - began).timestamp() * 1e6)
    workspace = open_workspace(patient.folder, environ={})
    for at_us in (now_us, round(last_midnight().timestamp() * 1e6) + HOUR_US):
        loop = Loop(workspace, patient.keeper, now_us=lambda at_us=at_us: at_us, tell=silent, environ=dict(os.environ))
        loop.turn()
        loop.turn()
        loop.close()
    return Asked(folder=patient.folder, about="loop")


def poisoned(ward: Ward) -> Asked:
    def said(row: Row, chance: random.Random, day: int, source: str) -> str:
        return other(row["late"]) if source == "scanner" else str(row["late"])

    patient = ward.fresh(text_of(retrain="cooldown: 1h, every: 1d, at_most: 30/month"), name="eager")
    return looped(patient.live(said=said).write(), began=timedelta(days=2))


def too_soon(ward: Ward) -> Asked:
    patient = ward.fresh(text_of(retrain="cooldown: 30d, every: 1d"), name="patient")
    return looped(patient.live().write(), began=timedelta(days=2))


# The endpoint.


def died(ward: Ward) -> Asked:
    patient = ward.fresh()
    served = ward.served(patient)
    assert served.ask("POST", "/predict", request(patient)).status == 200
    served.process.kill()
    served.process.wait(WAIT_S)
    return Asked(folder=patient.folder)


def full_disk(ward: Ward) -> Asked:
    import resource

    patient = ward.fresh()
    served = ward.served(patient)
    assert served.ask("POST", "/predict", request(patient)).status == 200
    for worker in served.workers():
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, 1))  # as a full disk does, no file grows
    until(lambda: served.ask("POST", "/predict", request(patient)).status == 503, within_s=WAIT_S)
    until(lambda: served.ask("GET", "/status", manage=True).json["faults"], within_s=WAIT_S)
    return Asked(folder=patient.folder)


def expired(ward: Ward) -> Asked:
    patient = ward.fresh()
    now = datetime.now(UTC)
    _, secret = issue(
        patient.folder / ".holdtrue" / "keys" / TOKENS,
        name="shop",
        scopes=("predict",),
        now=now - timedelta(days=90),
        expires=now - timedelta(hours=2),
    )
    served = ward.served(patient)
    headers = {"authorization": f"Bearer {secret}"}
    for _ in range(5):
        assert served.ask("POST", "/predict", request(patient), headers).status == 401
    counted(served, "401")
    return Asked(folder=patient.folder)


def breached(ward: Ward) -> Asked:
    patient = ward.fresh()
    served = ward.served(patient)
    for place in range(20):
        wrong = {"distance_m": -1.0} if place % 4 == 0 else {}
        assert served.ask("POST", "/predict", {**request(patient), **wrong}).status == (422 if wrong else 200)
    counted(served, "422")
    return Asked(folder=patient.folder)


def counted(served: Served, status: str) -> None:
    """Wait until the endpoint tells what its workers counted."""

    def told() -> bool:
        counters: Mapping[str, float] = served.ask("GET", "/status", manage=True).json["counters"]
        return any(status in name for name in counters)

    until(told, within_s=WAIT_S)


def request(patient: Parcels) -> dict[str, object]:
    (row, *_) = parcels(1, until=last_midnight(), seed=patient.seed)
    return {name: None if row[name] == "" else row[name] for name in patient.ready[1].about.order}


SEEDED: Mapping[str, Fault] = {
    "metres become feet": feet,
    "two columns are swapped": swapped,
    "a column is all missing": all_missing,
    "a new category": new_category,
    "a category is renamed": renamed,
    "a pipeline freezes at one value": frozen,
    "the time zone changes": other_zone,
    "rows are sent again and again": repeated,
    "the population changes": other_people,
    "labels stop coming": no_labels,
    "one source of labels is noise": noisy_source,
    "labels are inverted": inverted,
    "a segment changes its meaning": other_meaning,
    "the name is given to the wrong release": wrong_release,
    "trained on what is known only afterwards": leak,
    "the source lost most of its rows": lost_rows,
    "a small segment breaks a promise": weak_segment,
    "a library was changed before a replay": other_library,
    "a bit of a receipt is flipped": flipped_receipt,
    "a bit of a release is flipped": flipped_release,
    "the ledger is tampered with": forged_ledger,
    "the signing key is gone": lost_key,
    "a canary has more errors": bad_canary,
    "useless trainings in a row": storm,
    "poisoned labels": poisoned,
    "trained too short ago": too_soon,
    "the endpoint died": died,
    "no room for receipts": full_disk,
    "a token expired": expired,
    "callers break the contract": breached,
}


# Harder ones: weaker, or for some of the rows alone.


def feet_of_one(ward: Ward) -> Asked:
    bent = column("distance_m", lambda value, _: round(value / 0.3048, 1))
    return Asked(folder=ward.fresh().live(bent=bent, callers=("shop", "depot")).write().folder)


def sometimes(share: float, name: str, change: Callable[[Any], object]) -> Fault:
    """Bend a column of some rows."""

    def fault(ward: Ward) -> Asked:
        bent = column(name, lambda value, chance: change(value) if chance.random() < share else value)
        return Asked(folder=ward.fresh().live(bent=bent).write().folder)

    return fault


def frozen_yesterday(ward: Ward) -> Asked:
    bent = column("sensor_c", lambda _, __: 3.97)
    return Asked(folder=ward.fresh().live(bent=bent, since=DAYS - 1).write().folder)


def an_hour_off(ward: Ward) -> Asked:
    def later(value: str, chance: random.Random) -> str:
        return f"{datetime.fromisoformat(value) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"

    return Asked(folder=ward.fresh().live(bent=column("pickup", later)).write().folder)


def half_swapped(ward: Ward) -> Asked:
    def bent(row: Row, chance: random.Random, day: int) -> Row:
        turned = {"weight_kg": row["volume_l"], "volume_l": row["weight_kg"]}
        return {**row, **(turned if chance.random() < 0.5 else {})}

    return Asked(folder=ward.fresh().live(bent=bent).write().folder)


def turned(share: float, where: Callable[[Row, str], bool]) -> Fault:
    """Turn some labels round."""

    def said(row: Row, chance: random.Random, day: int, source: str) -> str:
        return other(row["late"]) if where(row, source) and chance.random() < share else str(row["late"])

    return lambda ward: Asked(folder=ward.fresh().live(said=said).write().folder)


WEAKER: Mapping[str, Fault] = {
    "one of two callers sends feet": feet_of_one,
    "one row in twenty has a new category": sometimes(0.05, "carrier", lambda _: "violet"),
    "a third of a column is missing": sometimes(1 / 3, "sensor_c", lambda _: ""),
    "a pipeline froze yesterday": frozen_yesterday,
    "the time zone is an hour off": an_hour_off,
    "one request in ten comes twice": lambda ward: Asked(folder=ward.fresh().live(twice=0.1).write().folder),
    "half of the rows have two columns swapped": half_swapped,
    "labels take a week longer": lambda ward: Asked(folder=ward.fresh().live(later_h=168).write().folder),
    "a sixth of the labels of one source are turned round": turned(1 / 6, lambda _, source: source == "scanner"),
    "half of a segment changes its meaning": turned(0.5, lambda row, _: row["region"] == "islands"),
}


def well(ward: Ward) -> Asked:
    """Nothing is wrong."""
    return Asked(folder=ward.fresh().live().write().folder)
