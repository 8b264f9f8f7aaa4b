"""Serves the release that `holdtrue run` made here, asks it for real bookings, labels some, and replays what it said.

Only the standard library: this is all that a client needs.
"""

import csv
import gzip
import http.client
import json
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
HOLDTRUE = [sys.executable, "-m", "holdtrue.cli"]
ASKED, LABELLED = 2_000, 1_000
TOGETHER = 100


def main() -> None:
    bookings = latest(ASKED)
    with served() as url:
        print(f"\nThe release is served at {url}. Ask it yourself in the same way:")
        print(f"  curl {url}/predict --json @booking.json")
        link = http.client.HTTPConnection(urlsplit(url).netloc)
        answers, took_s = ask(link, bookings)
        print(f"  {json.dumps(answers[0]['predictions'][0])}")
        ms = sorted(1000 * each for each in took_s)
        print(f"\n{len(answers):,} real bookings asked for one by one: half of them within", end=" ")
        print(f"{statistics.median(ms):.1f} ms, 99 of 100 within {ms[int(len(ms) * 0.99)]:.1f} ms.")
        before = time.perf_counter()
        for start in range(0, len(bookings), TOGETHER):
            post(link, "/predict", bookings[start : start + TOGETHER])
        print(
            f"The same {TOGETHER} at a time: {len(bookings) / (time.perf_counter() - before):,.0f} bookings a second."
        )
        label(link, bookings, answers)
    print("\nThe endpoint has ended. Every answer is made again from its receipt:")
    run("replay", "--all")
    print(f"\nWhy was the first answer given? Ask:   holdtrue why {answers[0]['prediction_id']}")


def latest(count: int) -> list[dict[str, object]]:
    """Take the bookings that arrive last, which no model has learnt from."""
    with gzip.open(HERE / "data" / "hotel_bookings.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [{name: plain(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return sorted(rows, key=arrival)[-count:]


def arrival(row: dict[str, object]) -> time.struct_time:
    year, month, day = (row[f"arrival_date_{part}"] for part in ("year", "month", "day_of_month"))
    return time.strptime(f"{year} {month} {day}", "%Y %B %d")


def plain(text: str) -> object:
    """Give a number as a number; what is missing in the file is null."""
    if text in ("", "NA", "NULL"):
        return None
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


@contextmanager
def served():
    """Run the endpoint on a free port; it says where it is when it answers."""
    command = [*HOLDTRUE, "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(process.wait() or 1)
        yield json.loads(line)["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def post(link: http.client.HTTPConnection, path: str, body: object, token: str = "") -> dict:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    link.request("POST", path, json.dumps(body), headers)
    answer = link.getresponse()
    told = json.loads(answer.read())
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {json.dumps(told, indent=1)}")
    return told


def ask(link: http.client.HTTPConnection, bookings: list[dict[str, object]]) -> tuple[list[dict], list[float]]:
    answers, took_s = [], []
    for booking in bookings:
        before = time.perf_counter()
        answers.append(post(link, "/predict", booking))
        took_s.append(time.perf_counter() - before)
    return answers, took_s


def label(link: http.client.HTTPConnection, bookings: list[dict[str, object]], answers: list[dict]) -> None:
    """Tell the endpoint what became of some bookings, which needs a token, and say how well it had done."""
    token = run("token", "new", "--name", "demo", "--scope", "label", "--days", "1").strip()
    truths = [str(booking["is_canceled"]) for booking in bookings[:LABELLED]]
    labels = [
        {"prediction_id": answer["prediction_id"], "value": truth}
        for answer, truth in zip(answers, truths, strict=False)
    ]
    kept = post(link, "/labels", labels, token)["kept"]
    said = [answer["predictions"][0]["label"] for answer in answers[:LABELLED]]
    caught = sum(truth == decision == "1" for truth, decision in zip(truths, said, strict=True))
    print(f"{kept:,} labelled with what happened: the model had announced", end=" ")
    print(f"{caught:,} of {truths.count('1'):,} cancellations, in {said.count('1'):,} warnings.")


def run(*words: str) -> str:
    """Run a verb of the command line here, and give what it printed; replay speaks for itself."""
    sys.stdout.flush()
    said = subprocess.PIPE if words[0] == "token" else None
    done = subprocess.run([*HOLDTRUE, *words], cwd=HERE, stdout=said, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout or ""


if __name__ == "__main__":
    main()
