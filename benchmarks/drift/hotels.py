"""A release trained on hotel bookings up to May 2016 answers the fifteen months after it: what is seen, and when?

    python benchmarks/drift/hotels.py        writes hotels.json and hotels.md beside this file

Bookings of two Portuguese hotels in the order of arrival (examples/hotel_cancellations). Each is asked for on the day
of arrival, and its label comes a day later. The receipts are those that a server would have written; `holdtrue watch`
looks at weeks, and at the end of each month at the promise.
"""

import csv
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from run import about

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import Again, Ready, ready_model
from holdtrue.pipeline.watched import DAY_US
from holdtrue.pipeline.watching import watch
from holdtrue.serving.forms import ask_of
from holdtrue.serving.lane import outputs_of
from holdtrue.serving.reader import Unfit
from holdtrue.spec.project import Watch

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "hotel_cancellations"
FILE = "data/hotel_bookings.csv.gz"
UNTIL = datetime(2016, 6, 1, tzinfo=UTC)
TARGET = "is_canceled"
HIDDEN = (TARGET, "reservation_status", "reservation_status_date", "assigned_room_type")
PROJECT = """name: hotels
data:
  source: {file}
  target: is_canceled
  time: [arrival_date_year, arrival_date_month, arrival_date_day_of_month]
  drop: [reservation_status, reservation_status_date, assigned_room_type]
split: {{by: time, validation: 10%, test: 20%}}
learn: {{learners: [lightgbm], trials: 4, folds: 3, seed: 7}}
promises: [{{quality: {{metric: roc_auc, at_least: 0.80}}}}, {{complete: {{breaches_at_most: 1%}}}}]
report: {{learning_curve: false}}
"""
AT_ONCE = 50
STREAM = 7
SETTINGS = Watch(window=7.0)

Row = dict[str, Any]


def bookings() -> list[tuple[datetime, Row]]:
    with gzip.open(EXAMPLE / FILE, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    dated = [(arrival(row), row) for row in rows]
    return sorted(dated, key=lambda pair: pair[0])


def arrival(row: Row) -> datetime:
    words = " ".join(row[f"arrival_date_{part}"] for part in ("year", "month", "day_of_month"))
    return datetime.strptime(words, "%Y %B %d").replace(tzinfo=UTC)


def released(folder: Path, past: list[Row]) -> Keeper:
    """Make a release of the past, as anybody would."""
    (folder / "data").mkdir()
    with gzip.open(folder / FILE, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(past[0]))
        writer.writeheader()
        writer.writerows(past)
    (folder / "holdtrue.yaml").write_text(PROJECT.format(file=FILE))
    shutil.copy(EXAMPLE / "contract.yaml", folder)
    subprocess.run([sys.executable, "-m", "holdtrue.cli", "run"], cwd=folder, check=True)
    return keeper_of(folder, {}, actor="benchmark")


def asked(keeper: Keeper, ready: Ready, rows: list[tuple[datetime, Row]]) -> int:
    """Answer bookings as they come, and write what a server writes; gives how many rows were refused."""
    ids, refused = Ids(STREAM), 0
    journal = Journal(keeper.home.path / "traffic", endpoint=keeper.project, stream=STREAM, now=lambda: 0)
    with closing(journal):
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            at_us = round(part[0][0].timestamp() * 1e6) + 43_200_000_000 + start
            records = answered(ready, ids, [row for _, row in part], at_us)
            if records is None:  # one of them breaks the contract: a client asks for the others again
                alone = [answered(ready, ids, [row], at_us) for _, row in part]
                records = [record for each in alone for record in each or ()]
                refused += alone.count(None)
            journal.add_all(records)
            journal.write()
    return refused


def answered(ready: Ready, ids: Ids, rows: list[Row], at_us: int) -> list[bytes] | None:
    """Give the receipt and the labels of a request, or nothing when the contract refuses it."""
    _, model = ready
    body = json.dumps([plain(row) for row in rows]).encode()
    ask = ask_of("rows", body, model.about)
    try:
        typed = model.reader.read(ask.columns, ask.rows, ask.numbers)
    except Unfit:
        return None
    one = Receipt(
        id=ids.next(at_us // 1000), time_us=at_us, release=model.about.digest, route="champion", weight=1.0,
        batch=at_us, place=0, rows=len(rows), wire="rows", body=body,
        outputs=outputs_of(model.run([typed]), 0, len(rows)),
    )  # fmt: skip
    labels = [
        Label(value=int(row[TARGET]), time_us=at_us, received_us=at_us + DAY_US, prediction=one.id, row=place)
        for place, row in enumerate(rows)
    ]
    return [pack(one), *map(pack_label, labels)]


def plain(row: Row) -> Row:
    return {name: value or None for name, value in row.items() if name not in HIDDEN}


def seen(keeper: Keeper, again: Again, release: str, now: datetime, windows: int) -> dict[str, Any]:
    found = watch(
        keeper,
        SETTINGS,
        release=release,
        windows=windows,
        now_us=round(now.timestamp() * 1e6),
        tell=silent,
        again=again,
    )
    return found.to_json()


def page(found: dict[str, Any]) -> str:
    lines = [
        "# Hotel bookings after May 2016, watched",
        "",
        f"A release trained on {found['past']:,} bookings that arrive before June 2016 answers the {found['asked']:,}"
        f" after it. {found['refused']:,} more break the contract and were refused.",
        "",
        "## The promise, as labels come",
        "",
        "ROC AUC is at least 0.80, proven when the release was made. By the labels of four weeks until the end of each"
        " month; the area is that of bookings of about the same day.",
        "",
        "| month | labelled | state | value | limits |",
        "|---|---:|---|---:|---:|",
    ]
    for month in found["months"]:
        held = month["quality"]["promises"][0]
        made = held["estimate"]
        limits = f"{made['low']:.3f} … {made['high']:.3f}" if made and made["low"] is not None else "–"
        lines.append(
            f"| {month['until']} | {month['quality']['labelled']:,} | {held['state']} |"
            f" {made['value']:.3f} | {limits} |"
        )
    lines += [
        "",
        "## Columns that have changed, by week",
        "",
        f"Alarms in {sum(bool(week['alarms']) for week in found['weeks'])} of {len(found['weeks'])} weeks."
        " The columns that are under alarm in the most weeks:",
        "",
        "| column | weeks | first | what changed most in its last week |",
        "|---|---:|---|---|",
    ]
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    for week in found["weeks"]:
        for drift in week["drifts"]:
            if drift["alarm"]:
                counts[drift["column"]] += 1
                first.setdefault(drift["column"], week["start"][:10])
                last[drift["column"]] = "; ".join(
                    f"{name}: {before:.0%} → {after:.0%}" for name, before, after in drift["changed"][:2]
                )
    lines += [f"| {name} | {count} | {first[name]} | {last[name]} |" for name, count in counts.most_common(15)]
    lines += [
        "",
        "## What that does to the promise, in the last week",
        "",
        "Estimated from the rows that judged the release, each column by itself; the error is two standard errors.",
        "",
        "| column | worse by | |",
        "|---|---:|---|",
    ]
    for one in found["harms"]:
        told = "–" if one["worse"] is None else f"{one['worse']:+.4f} ± {2 * one['error']:.4f}"
        lines.append(f"| {one['column']} | {told} | {one['why'] or ('harm' if one['harmful'] else '')} |")
    return "\n".join([*lines, "", *(f"- {name}: {what}" for name, what in found["about"].items()), ""])


def main() -> None:
    rows = bookings()
    past, live = [row for at, row in rows if at < UNTIL], [pair for pair in rows if pair[0] >= UNTIL]
    with tempfile.TemporaryDirectory(prefix="hotels") as name:
        folder = Path(name)
        keeper = released(folder, past)
        release = keeper.folder_of("champion").name
        ready = ready_model(keeper, release)
        refused = asked(keeper, ready, live)
        again = Again(keeper)
        end = live[-1][0] + timedelta(days=7)
        weeks = int((end - UNTIL).days // 7)
        months = []
        at = UNTIL
        while at < end - timedelta(days=7):
            at = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
            one = seen(keeper, again, release, at + timedelta(days=2), 4)
            months.append({"until": f"{at - timedelta(days=1):%Y-%m}", "quality": one["quality"]})
            print(months[-1]["until"], months[-1]["quality"]["promises"][0]["state"], flush=True)
        whole = seen(keeper, again, release, end, weeks)
        found: dict[str, Any] = {
            "past": len(past), "asked": len(live) - refused, "refused": refused, "months": months,
            "weeks": whole["windows"], "harms": whole["harms"], "about": about(),
        }  # fmt: skip
        for week in found["weeks"]:
            week["drifts"] = [drift for drift in week["drifts"] if drift["alarm"]]
    (HERE / "hotels.json").write_text(json.dumps(found) + "\n")
    (HERE / "hotels.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
