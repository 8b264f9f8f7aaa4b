"""What people see: tables, verdicts and progress, plain when piped."""

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from holdtrue.pipeline.progress import Tell, silent

STATES = {"kept": "bold green", "broken": "bold red", "at risk": "bold yellow"}
COLOURS = {"proven": "bold green", "refuted": "bold red", "unproven": "bold yellow"}
UNWRAPPED = 2_000  # columns: no line of a table is longer
MARKS = {"proven": "✔", "refuted": "✘", "unproven": "?"}


def console(*, error: bool = False) -> Console:
    """Write to a terminal with colour, elsewhere without; a pipe gets whole lines, however long."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else UNWRAPPED
    # Names of columns and files may hold brackets and colons, which are no markup.
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty())


def print_json(value: object) -> None:
    """Write one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False))


@contextmanager
def progress(*, quiet: bool) -> Generator[Tell]:
    """Draw a bar for each stage on a terminal; say nothing when piped."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console(error=True), transient=False) as bars:
        tasks: dict[str, int] = {}

        def tell(stage: str, done: int = 0, total: int | None = None) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bars.update(bars.tasks[earlier].id, total=1, completed=1)
                tasks[stage] = bars.add_task(stage, total=total, note="")
            note = f"{done:,} of {total:,}" if total and total > 1 else (f"{done:,}" if done else "")
            bars.update(bars.tasks[tasks[stage]].id, completed=done, total=total, note=note)

        yield tell
        for earlier in tasks.values():
            bars.update(bars.tasks[earlier].id, total=1, completed=1)


def number(value: object) -> str:
    """Write a number as people read it: four figures, thousands apart.

    >>> number(0.123456), number(12345.6), number(None), number(3)
    ('0.1235', '12,346', '–', '3')
    """
    if not isinstance(value, int | float):
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def length(time_s: float) -> str:
    """Say a length of time in its largest unit.

    >>> length(90), length(5400), length(3 * 86_400)
    ('1.5 minutes', '1.5 hours', '3 days')
    """
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    unit_s, name = next((unit for unit in units if time_s >= unit[0]), units[-1])
    count = round(time_s / unit_s, 1)
    return f"{count:g} {name}{'' if count == 1 else 's'}"


def verdict(word: str) -> Text:
    return Text(f"{MARKS.get(word, ' ')} {word}", style=COLOURS.get(word, ""))


def state(word: str) -> Text:
    """Write how a promise stands in service."""
    return Text(word, style=STATES.get(word, "dim"))


def table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Sequence[int] = ()
) -> Table:
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, head in enumerate(heads):
        made.add_column(head, justify="right" if index in right else "left", header_style="dim")
    for row in rows:
        made.add_row(*row)
    return made


def interval(estimate: Mapping[str, object]) -> str:
    if estimate.get("low") is not None and estimate.get("low") == estimate.get("high"):
        return ""  # counted, not estimated
    return f"{number(estimate.get('low'))} … {number(estimate.get('high'))}"


def promise_table(promises: Sequence[Mapping[str, object]]) -> Table:
    """The verdict board."""
    rows = [
        (
            verdict(str(promise["verdict"])),
            Text(str(promise["text"]) + ("" if promise.get("required", True) else " (advisory)")),
            number(promise["value"]),
            interval(promise),
            number(promise["rows"]) if promise["rows"] != 1 else "",
            number(promise["rows_needed"]) if promise.get("rows_needed") else "",
        )
        for promise in promises
    ]
    return table("Promises", ("verdict", "promise", "value", "limits", "rows", "rows needed"), rows, right=(2, 4, 5))
