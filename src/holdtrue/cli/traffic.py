"""The verbs about what an endpoint answered: replay, label, and forget."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdtrue.cli.person import actor, keeper, now
from holdtrue.cli.show import console, number, print_json, progress
from holdtrue.core.errors import Misuse


def replay(
    prediction: str | None, folder: Path, *, everything: bool, since: str | None, until: str | None, as_json: bool
) -> int:
    from holdtrue.pipeline.replay import replay as again

    if (prediction is None) == (not (everything or since or until)):
        raise Misuse("Name one prediction by its id, or say --all, or --since a time.")
    with progress(quiet=as_json) as tell:
        done = again(
            keeper(folder),
            prediction=prediction,
            since_us=None if since is None else _moment_us(since),
            until_us=None if until is None else _moment_us(until),
            tell=tell,
        )
    # Asked of one, the exit code 0 says that it is the same; that nobody can tell is something else.
    code = 0 if done.same and (prediction is None or done.equal) else 1
    if as_json:
        print_json(done.to_json())
        return code
    out = console()
    noun = "prediction" if done.predictions == 1 else "predictions"
    out.print(
        f"{number(done.predictions)} {noun} of {number(done.rows)} rows made again:"
        f" {number(done.equal)} the same to the bit, {number(done.different)} different"
        + (f", {number(done.forgotten)} of persons who were forgotten." if done.forgotten else ".")
    )
    if done.dropped:
        out.print(f"Up to {number(done.dropped)} more of that time were dropped by retention, as the ledger says.")
    for each in done.differences:
        out.print(f"  {each.prediction}: {each.what}\n    because {each.cause}")
    for each in done.damaged:
        out.print(f"  {each}")
    return code


def _moment_us(text: str) -> int:
    """Read a moment: ISO 8601, or so long ago, such as 30m, 12h or 7d."""
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
    if text[-1:] in units and text[:-1].isdigit():
        return int((datetime.now(UTC) - int(text[:-1]) * units[text[-1]]).timestamp() * 1e6)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(
            f"{text!r} is no time.", do="Write 2026-11-21, 2026-11-21T10:00:00, or 12h for so long ago."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def label(file: str, folder: Path, *, value: str, key: list[str], source: str, as_json: bool) -> int:
    from holdtrue.data.source import Source
    from holdtrue.pipeline.labels import label_file

    with progress(quiet=as_json) as tell:
        done = label_file(
            keeper(folder),
            Source(location=file),
            base=Path.cwd(),
            value=value,
            key=tuple(key),
            source_name=source,
            caller=actor(),
            now_us=time.time_ns() // 1000,
            tell=tell,
        )
    if as_json:
        print_json({"kept": done.kept, "known": done.known})
        return 0
    console().print(
        f"Kept {number(done.kept)} labels" + (f"; {number(done.known)} were known already." if done.known else ".")
    )
    return 0


def forget(person: str, folder: Path, *, column: str, as_json: bool) -> int:
    from holdtrue.pipeline.forgetting import forget as destroy

    done = destroy(keeper(folder), person, column=column, now=now())
    if as_json:
        print_json(done.to_json())
        return 0
    out = console()
    if not done.anything:
        out.print("Nobody is known so.")
        return 0
    out.print("Forgotten; the ledger keeps that it was done, and not of whom.")
    if done.key:
        count = sum(done.predictions.values())
        out.print(f"{number(count)} predictions can be counted, and never read.")
    if done.labels:
        out.print(f"{number(done.labels)} labels by that name are gone from the log.")
    if done.labels_left:
        out.print(
            f"{number(done.labels_left)} labels lie in files that the endpoint still writes to: start it anew, or send"
            " it SIGHUP, and run this again."
        )
    for cut in done.cuts:
        made = f"{cut.replaced_by[:12]} took its place" if cut.replaced_by else "nothing is left of it"
        out.print(f"{number(cut.rows)} rows are gone from snapshot {cut.snapshot[:12]}; {made}.")
    if done.held_out:
        out.print(f"{number(done.held_out)} rows are gone from those that judged releases.")
    for release in done.releases:
        out.print(f"Release {release[:12]} learned from such rows: it answers as before, and cannot be made again.")
    if done.cuts:
        out.print("Take the rows out of data.source as well, then train without them: holdtrue run")
    return 0
