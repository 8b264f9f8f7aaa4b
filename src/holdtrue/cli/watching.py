"""The verbs that look at a release in service: watch, and alarms."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

import msgspec
from rich.text import Text

from holdtrue.cli.person import keeper, now
from holdtrue.cli.show import console, interval, number, print_json, progress, state, table
from holdtrue.core.errors import Misuse
from holdtrue.monitoring.alarms import Alarm
from holdtrue.monitoring.estimate import ASSUMES, Estimated
from holdtrue.monitoring.harm import Harm, harm_told
from holdtrue.monitoring.quality import Held
from holdtrue.pipeline.alarming import Told
from holdtrue.pipeline.watched import Quality, Watched, Window
from holdtrue.pipeline.watching import watch

LATE_S = 60.0  # after the end of a window, for what is still being written


def look(folder: Path, *, release: str, windows: int, follow: bool, dry_run: bool, as_json: bool) -> int:
    from holdtrue.pipeline.alarming import note
    from holdtrue.pipeline.workspace import open_workspace

    project = open_workspace(folder, environ=os.environ).project
    settings, dated = project.watch, project.data.time
    here = keeper(folder)
    stopped = _stopping() if follow else threading.Event()
    said_us = -1  # the beginning of the last window that was told of
    while True:
        with progress(quiet=as_json) as tell:
            now_us = time.time_ns() // 1000
            seen = watch(here, settings, release=release, windows=windows, now_us=now_us, tell=tell, time=dated)
        fresh = [window for window in seen.windows if window.start_us > said_us]
        told = None if dry_run else note(here, seen, settings, now=now())
        if as_json:
            print_json({**seen.to_json(), **({} if told is None else told.to_json())})
        else:
            _show(seen, fresh, is_first=said_us < 0)
            if told is not None:
                _show_news(told)
        if not follow:
            return 1 if told is not None and told.failed else 0
        said_us = seen.windows[-1].start_us
        span_s = settings.window * 86_400
        if stopped.wait(span_s - (time.time() - settings.late * 86_400) % span_s + LATE_S):
            return 0
        windows = 1


def alarms(folder: Path, *, silence: str, length: str, reason: str, as_json: bool) -> int:
    from holdtrue.pipeline import alarming
    from holdtrue.spec.quantity import days

    here = keeper(folder)
    if silence:
        span = days(length)
        if not isinstance(span, float) or not span > 0:
            raise Misuse(f"{length!r} is no length of time.", do="Write 12h, 7d or 2w.")
        until = now() + timedelta(days=span)
        found = alarming.silence(
            here, silence, until_us=round(until.timestamp() * 1e6), reason=reason or "no reason given", now=now()
        )
        if as_json:
            print_json({"silenced": found.id, "until": until.isoformat()})
        else:
            console().print(f"Nobody is told of {found.id} until {until:%Y-%m-%d %H:%M} UTC: {found.seen.what}.")
        return 0
    lasting = alarming.alarms(here)
    if as_json:
        print_json({"alarms": [msgspec.to_builtins(alarm) for alarm in lasting]})
        return 0
    if not lasting:
        console().print("No alarm lasts. `holdtrue watch` looks for new ones.")
        return 0
    out = console()
    for alarm in lasting:
        style = "bold red" if alarm.seen.severity == "critical" else "bold yellow"
        out.print(f"{alarm.seen.what}", style=style)
        out.print(f"  {alarm.id}, since {_day(alarm.opened_us)}{_silence(alarm, now())}")
        for line in alarm.seen.why:
            out.print(f"  {line}")
    out.print(
        "\nThe likeliest cause: holdtrue why ID. To be told no more of one for a while: holdtrue alarms --silence ID"
    )
    return 0


def _silence(alarm: Alarm, at: datetime) -> str:
    if alarm.silent_until_us <= at.timestamp() * 1e6:
        return ""
    return f", silent until {_day(alarm.silent_until_us)} ({alarm.silenced_by})"


def _show_news(told: Told) -> None:
    out = console()
    if told.news:
        out.print()
    for alarm in told.news:
        word = "Over" if alarm.is_over else "ALARM"
        out.print(f"{word}: {alarm.seen.what} ({alarm.id})", style=None if alarm.is_over else "bold red")
    for failure in told.failed:
        out.print(f"WRONG: could not tell {failure}")


def _stopping() -> threading.Event:
    """Let Ctrl-C and a request to end be heard between two looks."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopped


def _show(seen: Watched, windows: list[Window], *, is_first: bool) -> None:
    out = console()
    if is_first:
        out.print(
            f"Release {seen.release[:12]}, {number(len(seen.windows))} window{'s' * (len(seen.windows) != 1)} of"
            f" {_span(seen.window_days)};"
            f" each may have a false alarm with a chance of {seen.level:.2%}."
        )
    for window in windows:
        out.print(f"{_day(window.start_us)}: {_summary(window)}", style="bold" if window.alarms else None)
        rows = [
            (
                drift.column,
                f"10^{drift.evidence:.1f}",
                f"{drift.size:.2f}",
                _span(drift.windows * seen.window_days),
                "; ".join(f"{name}: {before:.1%} → {after:.1%}" for name, before, after in drift.changed)
                or f"how these hang together: {', '.join(drift.by)}",
            )
            for drift in window.alarms
        ]
        if rows:
            heads = ("  column", "evidence", "size", "over", "what changed most")
            out.print(table("", heads, [(f"  {row[0]}", *row[1:]) for row in rows], right=(1, 2)))
    for fault in seen.damaged:
        out.print(f"  {fault}")
    if seen.harms:
        _show_harms(seen.harms)
    if seen.quality.promises:
        out.print()
        out.print(_labels(seen.quality))
        out.print(
            table("", ("", "promise", "value", "limits", "rows"), [_line(each) for each in seen.quality.promises])
        )
    if seen.estimates:
        _show_estimates(seen.estimates)
    if (found := seen.quality.feedback).steered:
        decisions = " or ".join(map(repr, found.unlabelled))
        part = f"{found.exploration:.1%} of the labelled rows"
        out.print(
            f"Rows that the release decides {decisions} get hardly any labels ({part}): it is judged without them."
        )


def _show_harms(harms: Sequence[Harm]) -> None:
    """Say what does harm and what nobody can tell, a line each; all that does none in one."""
    out = console()
    out.print()
    out.print("What the columns under alarm do to the promises, each by itself, by the held-out rows (an estimate):")
    for harm in harms:
        if harm.worse is None or harm.is_harmful:
            out.print(f"  {harm.column}: {harm_told(harm)}", style="bold red" if harm.breaks else None)
    bad = {harm.column for harm in harms if harm.worse is None or harm.is_harmful}
    if harmless := [name for name in dict.fromkeys(harm.column for harm in harms) if name not in bad]:
        out.print(f"  no harm, as far as these rows tell: {', '.join(harmless)}")


def _show_estimates(estimates: Sequence[Estimated]) -> None:
    """Say what is estimated of each promise, a line each; a reason that all share is said once."""
    out = console()
    out.print(f"\nUntil labels come, estimated from the held-out rows; {ASSUMES}:")
    if aside := estimates[0].aside:
        out.print(f"  (columns that run with time are left aside: {', '.join(aside)})")
    for reason in dict.fromkeys(each.why for each in estimates if each.state == "off"):
        named = [each.pledge.text for each in estimates if each.why == reason]
        out.print(f"  off for {'; '.join(named)}: {reason}")
    rows = [_estimate_line(each) for each in estimates if each.state != "off"]
    if rows:
        out.print(table("", ("", "promise", "estimate", "limits", "by the labels that came"), rows))


def _estimate_line(each: Estimated) -> tuple[str | Text, ...]:
    assert each.estimate is not None
    limits = interval(asdict(each.estimate))
    heard = ""
    if each.realised is not None:
        heard = f"{number(each.realised)}, {number(each.foreseen)} foreseen, {number(each.labelled)} rows"
    return state(each.state), each.pledge.text, number(each.estimate.value), limits, heard


def _labels(quality: Quality) -> str:
    """Say how much of the truth is known."""
    part = f"{number(quality.labelled)} of {number(quality.rows)} rows"
    told = f"Promises since {_day(quality.since_us)}, by labels of {part}"
    if quality.delay is not None:
        found = quality.delay
        half, most = (_span(seconds / 86_400) for seconds in (found.half_s, found.most_s))
        told += f"; half of those that come take {half} or less, nine tenths {most}"
        told += f"; {number(round(found.to_come))} more are expected" if found.to_come >= 1 else ""
    return told + (f"; {number(quality.odd)} labels are none of the classes" if quality.odd else "") + ":"


def _line(each: Held) -> tuple[str | Text, ...]:
    if each.estimate is None:
        return state(each.state), each.pledge.text, "", each.why, ""
    found = each.estimate
    return state(each.state), each.pledge.text, number(found.value), interval(asdict(found)), number(found.rows)


def _summary(window: Window) -> str:
    left = f"; {number(window.late)} rows came too late" if window.late else ""
    if not window.rows:
        unread = f"; {number(window.unread)} cannot be read" if window.unread else ""
        return f"no rows, so nothing is known{unread}{left}"
    columns = [drift for drift in window.drifts if not drift.whole]
    small = sum(drift.real and not drift.alarm for drift in columns)
    changed = len(window.of_columns)
    within = len(window.alarms) - changed
    found = f"{number(changed)} of {len(columns)} columns have changed" if window.alarms else "as before"
    found += f", {number(within)} more within slices" if within else ""
    return (
        f"{number(window.rows)} rows, {found}"
        + (f"; {small} more too little to matter" if small else "")
        + (f"; {number(window.unread)} predictions cannot be read" if window.unread else "")
        + left
    )


def _span(days: float) -> str:
    """Write a length of time.

    >>> _span(1.0), _span(0.5), _span(7.0)
    ('1 day', '12 hours', '7 days')
    """
    count, unit = (days, "day") if days >= 1 else (days * 24, "hour")
    return f"{count:.3g} {unit}{'' if count == 1 else 's'}"


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC).isoformat(timespec="minutes").removesuffix("+00:00")
