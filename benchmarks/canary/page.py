"""Writes what was found as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdtrue.statistics.binomial import clopper_pearson


def page(found: Mapping[str, Any]) -> str:
    """Write the page."""
    about = found["about"]
    lines = [
        "# Canaries: false rollbacks, and how soon harm is found",
        "",
        f"{about['machine']}; {about['versions']}; {about['date']}, commit {about['commit']}. Made by `run.py`.",
        "",
    ]
    if "null" in found:
        lines += null_lines(found["null"], found["unrest"], found["agreement"])
    if "found" in found:
        lines += found_lines(found["found"], found["honest"])
    if "limits" in found:
        lines += limit_lines(found["limits"])
    if found.get("servers"):
        lines += server_lines(found["servers"])
    return "\n".join(lines).rstrip("\n") + "\n"


def null_lines(quiet: Mapping[str, Any], unrest: Mapping[str, Any], agreement: Sequence[float]) -> list[str]:
    stages = ", ".join(f"{requests:,} requests at {share:.0%}" for share, requests in quiet["stages"])
    seconds = quiet["cpu_s"] + unrest["cpu_s"]
    return [
        "## The champion once more",
        "",
        f"{quiet['canaries']:,} canaries that are no worse: {stages}, a look after every hundred. Both arms have 0.5 %"
        " errors and 0.5 % slow answers, the same scores, and are wrong on a fifth of the tenth that has labels.",
        "",
        f"**{_back(quiet)}**; 5 % may be.",
        "",
        "Where nothing stays (up to 3 % errors and twice as many slow answers, other ones at each look, five times as"
        f" many at some hours, and labels that go wrong by the hour, in both arms): **{_back(unrest)}**.",
        "",
        "| signal | called worse | where nothing stays | called not worse in the last stage | where nothing stays |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {quiet['worse'][name]} | {unrest['worse'][name]} | "
            f"{quiet['passed'][name] / quiet['canaries']:.1%} | {unrest['passed'][name] / unrest['canaries']:.1%} |"
            for name in quiet["worse"]
        ),
        "",
        f"The simulation does the arithmetic for thousands at once, in {seconds:.0f} s of processor time."
        f" {agreement[0]:,} capitals and signs of twenty other canaries were also made by the code itself:"
        f" they differ by at most {agreement[1]:.1g}.",
        "",
    ]


def _back(found: Mapping[str, Any]) -> str:
    back, count = found["rolled_back"], found["canaries"]
    return f"{back} of {count:,} are called worse, ever: {back / count:.2%}, at most {found['high']:.2%} (97.5 % limit)"


def found_lines(found: Sequence[Mapping[str, Any]], honest: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## Harm",
        "",
        "Requests to both releases until a canary with a tenth of them is called worse, a look after every hundred;"
        " labels come for a tenth of the rows, at once.",
        "",
        "| what is worse | found within 60,000 | a tenth within | half within | nine tenths within |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {one['harm']} | {one['found'] / one['canaries']:.1%} | "
            + " | ".join("–" if value is None else f"{value:,.0f}" for value in one["requests"])
            + " |"
            for one in found
        ),
        "",
        "## A model that was trained again",
        "",
        "Its scores differ somewhat, and that is no harm. With 20,000 requests at a tenth:",
        "",
        "| stability index | called worse | called not worse |",
        "|---:|---:|---:|",
        *(
            f"| {one['index']} | {one['worse'] / one['canaries']:.1%} | {one['passed'] / one['canaries']:.1%} |"
            for one in honest
        ),
        "",
    ]


def limit_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "## The limits of the index",
        "",
        "Scores whose index is 0.25 in general, at one look: how often they are called surely not large, and surely"
        " large. Both should be as rare as the level says.",
        "",
        "| how they moved | rows of the canary and of the champion | level | not large | large |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {one['move']} | {one['rows'][0]:,} and {one['rows'][1]:,} | {one['alpha']:.0%} | "
            f"{one['passes_and_large'][0]:.1%} | {one['passes_and_large'][1]:.1%} |"
            for one in found
        ),
        "",
    ]


def server_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    back = [one for one in found if one["worse"]]
    limit = clopper_pearson(len(back), len(found), 0.95)
    requests = sum(one["requests"] for one in found)
    signals = ("errors", "latency", "scores", "labels")
    return [
        "## Real endpoints",
        "",
        f"`holdtrue serve` with one model as two releases, {len(found)} times; {requests:,} requests in all, a thousand"
        " at 1 %, at 10 % and at 50 % each time, a look after every hundred, labels for all at the end."
        f" {sum(one['failed'] for one in found)} requests failed.",
        "",
        f"**{len(back)} of {len(found)} are called worse** (at most {limit.high:.1%} by their number alone).",
        "",
        "| signal | called worse | not worse at the end | undecided at the end |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {sum(name in one['worse'] for one in found)} | "
            f"{sum(one['last'][name] == 'not worse' for one in found)} | "
            f"{sum(one['last'][name] == 'undecided' for one in found)} |"
            for name in signals
        ),
        "",
    ]
