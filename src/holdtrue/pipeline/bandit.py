"""A bandit among releases: what turned out true moves the requests towards the release that is right most often.

Thompson sampling (Thompson 1933, doi:10.1093/biomet/25.3-4.285), with the draws of many requests at once: a release's
share is the probability that it is the best one, as its counts of right and wrong answers say. The share is known when
a request is sent to a release, and its receipt keeps it, so what another policy would have got can be estimated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from holdtrue.data.traffic.read import labels, receipts
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import spellings
from holdtrue.pipeline.recorded import ANSWER, recorded_outputs
from holdtrue.release.interface import read_interface
from holdtrue.serving.model import about_of
from holdtrue.serving.plan import Plan

DRAWS = 10_000
LEAST_SHARE = 0.05  # of each release: what is never asked is never learnt about
DRAWN = ("champion", "canary")  # the routes that chance chose


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many answers of a release turned out right, and wrong."""

    right: int = 0
    wrong: int = 0


def shares(tallies: Mapping[str, Tally], *, seed: int, least: float = LEAST_SHARE) -> dict[str, float]:
    """Give each release the probability that it is the best, and none less than `least`; they sum to 1.

    >>> made = shares({"a": Tally(right=90, wrong=10), "b": Tally(right=50, wrong=50)}, seed=7)
    >>> round(made["a"], 2), round(made["b"], 2)
    (0.95, 0.05)
    """
    names = sorted(tallies)
    least = min(least, 0.5 / len(names))
    chance = np.random.default_rng(seed)
    drawn = np.stack([chance.beta(1 + tallies[name].right, 1 + tallies[name].wrong, DRAWS) for name in names])
    best = np.bincount(drawn.argmax(axis=0), minlength=len(names)) / DRAWS
    return {name: least + (1 - least * len(names)) * float(part) for name, part in zip(names, best, strict=True)}


def tallied(traffic: Path, endpoint: str, plans: Iterable[Plan], *, since_us: int) -> dict[str, Tally]:
    """Count what labels say of the answers that releases gave since a moment; those sent there by name do not count."""
    plans = tuple(plans)
    interfaces = {plan.digest: read_interface(plan.interface) for plan in plans}
    known = LabelJoin(labels(traffic, endpoint=endpoint, faults=[]))
    abouts = {plan.digest: about_of(plan) for plan in plans}
    counts = {digest: [0, 0] for digest in interfaces}
    for receipt in receipts(traffic, endpoint=endpoint, since_us=since_us, faults=[]) if known.any else ():
        interface = interfaces.get(receipt.release)
        if interface is None or receipt.route not in DRAWN or receipt.subject or not known.may_know(receipt):
            continue
        said = known.labels_of(receipt, abouts[receipt.release])
        answers = recorded_outputs(receipt, interface).get(ANSWER, []) if said else []
        for row, label in said.items():
            counts[receipt.release][str(answers[row]) not in spellings(label.value)] += 1
    return {digest: Tally(right=right, wrong=wrong) for digest, (right, wrong) in counts.items()}
