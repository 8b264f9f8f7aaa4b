"""Receipts of a person are sealed with that person's key, before the answer goes out and off the event loop."""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.cli.driver import holdtrue, launched
from tests.data.traffic.made import receipts_of
from tests.serving.endpoint import rows, serving, v2_of
from tests.serving.grpc_driver import Client, add, asked

from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.data.traffic.read import receipts
from holdtrue.data.traffic.receipt import unpack
from holdtrue.data.traffic.subjects import Subjects
from holdtrue.serving.ask import Problem
from holdtrue.serving.reader import Unfit
from holdtrue.serving.sealing import FILE, LONGEST, Sealer, alias, person_of


@pytest.mark.parametrize(
    ("values", "person"),
    [
        (["anna"], "anna"),
        (["anna", None, "", "anna "], "anna"),
        ([7, 7.0, "7"], "7"),
        (np.array([7.0, np.nan]), "7"),
        ([None], ""),
        ([float("nan"), " "], ""),
    ],
    ids=str,
)
def test_a_person_is_one_however_the_name_came(values: Sequence[Any], person: str) -> None:
    assert person_of("guest", values) == person


def test_a_request_of_several_persons_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        person_of("guest", ["anna", "berta", None])
    assert (caught.value.status, caught.value.code) == (422, "persons")
    assert "anna" not in str(caught.value.faults)


@pytest.mark.parametrize("values", [None, [["anna"]], [{"name": "anna"}], ["x" * (LONGEST + 1)]], ids=repr)
def test_what_names_nobody_is_refused(values: Sequence[Any] | None) -> None:
    with pytest.raises(Unfit, match="guest"):
        person_of("guest", values)


def test_the_name_in_receipts_is_that_of_its_store_alone(tmp_path: Path) -> None:
    one = alias(tmp_path / "one", "anna")
    assert one == alias(tmp_path / "one", "anna")
    assert one != alias(tmp_path / "one", "berta")
    assert one != alias(tmp_path / "two", "anna")
    assert "anna" not in one
    assert (tmp_path / "one" / f"{FILE}.secret").stat().st_mode & 0o077 == 0


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(alias(tmp_path, "anna"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{FILE}.secret"]


def test_a_secret_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.secret").write_bytes(b"short")
    with pytest.raises(Refused):
        alias(tmp_path, "anna")


def _sealed(sealer: Sealer, *subjects: str) -> list[bytes] | HoldtrueError:
    heard: list[list[bytes] | HoldtrueError] = []
    told = threading.Event()
    given = [
        msgspec.structs.replace(one, subject=subject)
        for one, subject in zip(receipts_of(len(subjects)), subjects, strict=True)
    ]

    def then(sealed: list[bytes] | HoldtrueError) -> None:
        heard.append(sealed)
        told.set()

    sealer.seal(given, then)
    assert told.wait(60)
    return heard[0]


def test_only_receipts_that_name_a_person_are_sealed(tmp_path: Path) -> None:
    sealer = Sealer("guest", tmp_path, soon=lambda call, *words: call(*words))
    frames = _sealed(sealer, "anna", "", "berta")
    assert isinstance(frames, list)
    read = [unpack(frame) for frame in frames]
    plain = receipts_of(3)
    assert [one.body == kept.body for one, kept in zip(read, plain, strict=True)] == [False, True, False]
    opened = [Subjects(tmp_path / FILE).reveal(one) for one in read]
    assert [one.body for one in opened] == [one.body for one in plain]
    sealer.close()


def test_keys_that_cannot_be_kept_are_told_and_nothing_is_given(tmp_path: Path) -> None:
    sealer = Sealer("guest", tmp_path, soon=lambda call, *words: call(*words))
    (tmp_path / FILE).mkdir()
    assert isinstance(_sealed(sealer, "anna"), HoldtrueError)
    sealer.close()


@pytest.mark.slow
def test_an_endpoint_seals_what_it_records_and_forgets_whom_it_must(trips_folder: Path) -> None:
    row = rows(1, target=False)[0]
    with serving(trips_folder, "--subject", "guest") as made:
        mine = [made.ask("POST", "/predict", {**row, "guest": guest}) for guest in ("anna", "berta", "anna", None)]
        assert [answer.status for answer in mine] == [200] * 4
        assert made.ask("POST", "/predict", row).status == 422
        mixed = made.ask("POST", "/predict", [{**row, "guest": "anna"}, {**row, "guest": "berta"}])
        assert (mixed.status, mixed.json["code"]) == (422, "persons")
        lines = "\n".join([",".join((*row, "guest")), ",".join(str(row[name] or "") for name in row) + ",anna"])
        csv = made.ask("POST", "/invocations", lines.encode(), {"content-type": "text/csv"})
        assert csv.status == 200
    kept = list(receipts(trips_folder / ".holdtrue" / "traffic"))
    assert [bool(one.subject) for one in kept] == [True, True, True, False, True]
    assert [b"income" in one.body for one in kept] == [False, False, False, True, False]
    assert not any("anna" in str(one.subject) or b"anna" in one.body for one in kept)
    assert launched("replay", "--all", "--json", folder=trips_folder).json["equal"] == 5
    assert launched("forget", "anna", "--json", folder=trips_folder).json["key"] is True
    done = launched("replay", "--all", "--json", folder=trips_folder)
    assert (done.code, done.json["equal"], done.json["forgotten"], done.json["same"]) == (0, 2, 3, True)
    gone = mine[0].headers["x-holdtrue-prediction"]
    assert launched("replay", gone, folder=trips_folder).code == 1
    why = launched("why", gone, folder=trips_folder)
    assert why.code == 0
    assert "forgotten" in why.out
    assert holdtrue("forget", "zoe", "--json", folder=trips_folder).json["forgotten"] is False


@pytest.mark.slow
def test_persons_are_sealed_by_every_protocol_in_every_worker(trips_folder: Path) -> None:
    """With receipts on the disk, and shared by two workers that meet the same persons at once."""
    (row,) = rows(1, target=False)
    guests = [f"guest {number}" for number in range(12)]
    words = ("--subject", "guest", "--workers", "2", "--ack", "durable", "--grpc-port", "0")
    answered: list[int] = []
    with serving(trips_folder, *words) as made:

        def ask(guest: str) -> None:
            table = [{**row, "guest": guest}]
            body = v2_of([row])
            body["inputs"].append({"name": "guest", "shape": [1, 1], "datatype": "BYTES", "data": [guest]})
            split = {"columns": list(table[0]), "data": [list(table[0].values())]}
            for path, sent in (
                ("/predict", table),
                (f"{made.model}/infer", body),
                ("/invocations", {"dataframe_split": split}),
            ):
                answered.append(made.ask("POST", path, sent).status)
            with Client(str(made.state["grpc"])) as client:
                request = asked([row])
                add(request, "guest", "BYTES", [guest], raw=True)
                answered.append(200 if client.infer(request).code.name == "OK" else 0)

        threads = [threading.Thread(target=ask, args=(guest,)) for guest in guests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answered == [200] * 4 * len(guests)
    kept = list(receipts(trips_folder / ".holdtrue" / "traffic"))
    assert Counter(one.subject for one in kept) == {
        alias(trips_folder / ".holdtrue/keys", guest): 4 for guest in guests
    }
    assert {one.wire for one in kept} == {"rows", "v2", "mlflow", "grpc"}
    assert not any(b"guest" in one.body or b"income" in one.body for one in kept)
    assert launched("forget", guests[0], "--json", folder=trips_folder).json["key"] is True
    done = launched("replay", "--all", "--json", folder=trips_folder)
    assert (done.json["equal"], done.json["forgotten"]) == (4 * len(guests) - 4, 4)


@pytest.mark.slow
def test_a_new_person_waits_for_the_disk_and_nobody_else_does(trips_folder: Path) -> None:
    row = rows(1, target=False)[0]
    keys = trips_folder / ".holdtrue" / "keys"
    with serving(trips_folder, "--subject", "guest") as made:
        assert made.ask("POST", "/predict", {**row, "guest": "anna"}).status == 200
        with Subjects(keys / FILE)._writing():  # pyright: ignore[reportPrivateUsage]  # as `forget` in another process
            waiting = threading.Thread(target=made.ask, args=("POST", "/predict", {**row, "guest": "new"}))
            waiting.start()
            time.sleep(0.2)
            began = time.monotonic()
            assert made.ask("POST", "/predict", {**row, "guest": None}).status == 200
            assert made.ask("GET", "/livez").status == 200
            assert time.monotonic() - began < 5.0
            assert waiting.is_alive()
        waiting.join(60)
        assert not waiting.is_alive()


@pytest.mark.slow
def test_what_an_endpoint_answered_is_made_again_from_the_command_line(trips_folder: Path) -> None:
    table = rows(60, seed=4, target=False)
    with serving(trips_folder) as made:
        ids = [made.ask("POST", "/predict", row).headers["x-holdtrue-prediction"] for row in table[:20]]
        made.ask("POST", "/predict", table)
    done = launched("replay", "--all", "--json", folder=trips_folder)
    assert done.code == 0
    assert {name: done.json[name] for name in ("predictions", "rows", "equal", "same")} == {
        "predictions": 21, "rows": 80, "equal": 21, "same": True,
    }  # fmt: skip
    assert launched("replay", ids[3], folder=trips_folder).out.startswith("1 prediction of 1 rows")
    assert (
        launched("replay", "--since", "1h", "--until", "2100-01-01", "--json", folder=trips_folder).json["equal"] == 21
    )
    for words in ((), (ids[0], "--all"), ("--since", "yesterday"), (f"{0:012}7{0:03}8{0:015}",)):
        assert holdtrue("replay", *words, folder=trips_folder).code == 2
    (segment,) = (trips_folder / ".holdtrue" / "traffic" / "trips").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(ids[0].encode()) + 100] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(data)
    harmed = launched("replay", "--all", "--json", folder=trips_folder)
    assert harmed.code == 1
    assert harmed.json["damaged"]
    assert holdtrue("replay", ids[0], folder=trips_folder).code == 5
    assert json.loads(json.dumps(harmed.json)) == harmed.json
