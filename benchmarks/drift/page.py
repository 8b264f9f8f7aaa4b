"""The result of the benchmark of drift, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def page(found: Mapping[str, Any]) -> str:
    lines = ["# Drift: false alarms, delay and cost", ""]
    if "null" in found:
        lines += null_lines(found["null"])
    if "power" in found:
        lines += power_lines(found["power"])
    if "cost" in found:
        lines += cost_lines(found["cost"])
    lines += [f"- {name}: {what}" for name, what in found["about"].items()]
    return "\n".join([*lines, "", "`python benchmarks/drift/run.py`", ""])


def null_lines(found: Mapping[str, Any]) -> list[str]:
    years, drawn, days = found["years"], found["drawn"], found["days"]
    told = [day for year in years for day in year["evidently"]]
    some = sum(bool(day["drifted"]) for day in told)
    most = sum((day["share"] or 0) >= 0.5 for day in told)
    return [
        "## Years without any change",
        "",
        f"{found['columns']} columns, {found['reference_rows']:,} reference rows, a window a day of 50 to 50,000 rows."
        " One false alarm a month is accepted: 12 a year.",
        "",
        "| | days | days with a false alarm | a year |",
        "|---|---:|---:|---:|",
        _row(f"Holdtrue, {len(years)} years of rows: evidence", [year["real"] for year in years], days),
        _row("Holdtrue, the same: alarms (evidence, and size)", [year["alarms"] for year in years], days),
        _row(f"Holdtrue, {len(drawn)} years of counts: evidence", drawn, days),
        *(
            [
                _row("Evidently, some of the same days: any column", [some], len(told)),
                _row("Evidently, the same: half of the columns", [most], len(told)),
            ]
            if told
            else []
        ),
        "",
    ]


def _row(name: str, counts: Sequence[int], days: int) -> str:
    """Write a row of the table; `counts` are of periods of so many days each."""
    whole = len(counts) * days
    return f"| {name} | {whole:,} | {sum(counts):,} | {sum(counts) / whole * 365:.1f} |"


def power_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        f"| {one['shift']} | {np.median(one['real']):.0f} | {np.quantile(one['real'], 0.9):.0f} |"
        f" {_days(np.median(one['alarm']))} | {one['evidently_flagged']} of {one['evidently_looked']} |"
        for one in found
    ]
    return [
        "## One column of a hundred moves",
        "",
        f"Days of 1,000 rows; {len(found[0]['real'])} repeats. An alarm also needs a stability index of 0.1, which"
        " a shift of about 0.32 has. Evidently looks at that column alone, each day by itself, by its default rule;"
        " that rule flags days without any change too (above).",
        "",
        "| shift, sd | days to evidence, median | 90 % | days to an alarm, median | days that Evidently flags |",
        "|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "Detectors of streams look at each row of that column; a hundred of them share the budget, so each may have"
        " a false alarm in three million rows. Rows until the change is found, median:",
        "",
        "| shift, sd | " + " | ".join(found[0]["streams"]) + " | ours, days of 1,000 |",
        "|---:|" + "---:|" * (len(found[0]["streams"]) + 1),
        *(
            f"| {one['shift']} | "
            + " | ".join(_rows(np.median(rows)) for rows in one["streams"].values())
            + f" | {_days(np.median(one['real']))} |"
            for one in found
        ),
        "",
    ]


def _rows(value: float) -> str:
    return "none within 60,000" if value > 60_000 else f"{value:,.0f}"


def _days(value: float) -> str:
    return "none within 60" if value > 60 else f"{value:.0f}"


def cost_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "## Cost",
        "",
        "80 columns of numbers and 20 of texts; processor seconds without reading, peak memory of each process."
        " Evidently was asked about three million rows once: it took 16 GB, and had not answered after twenty minutes.",
        "",
        "| rows | Holdtrue, s | MB | Evidently, s | MB | times |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        ours, peer = one["holdtrue"], one["evidently"]
        beside = (
            f"{peer['cpu_s']:.1f} | {peer['peak_mb']:,.0f} | {peer['cpu_s'] / ours['cpu_s']:.0f}"
            if peer
            else "– | – | –"
        )
        lines.append(f"| {one['rows']:,} | {ours['cpu_s']:.2f} | {ours['peak_mb']:,.0f} | {beside} |")
    return [*lines, ""]
