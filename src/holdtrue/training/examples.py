"""Typed rows beside their truth, and their matrices: each encoding is learnt once and made once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from holdtrue.features.encoder import Encoder, Flavour, fit, transform
from holdtrue.models.learner import Learner, Rows

ClassWeight = Literal["balanced"] | Mapping[int, float] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Typed columns, and for each row the code of its class or its number."""

    frame: pl.DataFrame
    y: Float64[np.ndarray, " rows"]

    def take(self, places: Int64[np.ndarray, " places"]) -> "Examples":
        return Examples(frame=self.frame[places], y=self.y[places])


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What all fits of a run share.

    Attributes:
        kinds: the columns a model may see, each with its kind: number, date, category or text.
        classes: how many classes there are; 0 for a number.
        class_weight: "balanced" gives every class the same total; a mapping gives each code its weight.
    """

    kinds: Mapping[str, str]
    classes: int
    seed: int
    class_weight: ClassWeight = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrices:
    """The encoded rows of one training set and of the rows held out from it.

    An encoder sees the training rows alone. It and its matrices are kept, so ten trials of one flavour cost one
    encoding.
    """

    train: Examples
    terms: Terms
    held: Examples | None = None
    encoders: dict[str, Encoder] = field(default_factory=dict[str, Encoder])
    made: dict[tuple[str, str], np.ndarray] = field(default_factory=dict[tuple[str, str], np.ndarray])

    def encoder(self, flavour: Flavour) -> Encoder:
        if flavour not in self.encoders:
            self.encoders[flavour] = fit(self.train.frame, self.terms.kinds, flavour)
        return self.encoders[flavour]

    def rows(self, learner: Learner) -> Rows:
        """Give the rows a learner fits: encoded, thinned when they are too many for it, weighted."""
        most = learner.most_rows
        if most is None or most >= len(self.train.y):
            return self._rows("train", learner, self.train)
        kept = thinned(self.train.y, self.terms.classes, most, self.terms.seed)
        return self._rows(f"train thinned to {most}", learner, self.train.take(kept))

    def held_rows(self, learner: Learner) -> Rows | None:
        """Give the rows held out, for a learner that stops by them; classes weigh as they do in training."""
        return None if self.held is None else self._rows("held", learner, self.held)

    def _rows(self, part: str, learner: Learner, examples: Examples) -> Rows:
        by_class = class_weights(self.train.y, self.terms)
        weight = None if by_class is None else by_class[examples.y.astype(np.int64)]
        key = (part, learner.flavour)
        if key not in self.made:
            self.made[key] = transform(self.encoder(learner.flavour), examples.frame)
        return Rows(x=self.made[key], y=examples.y, classes=self.terms.classes, weight=weight)


def class_weights(y: Float64[np.ndarray, " rows"], terms: Terms) -> Float64[np.ndarray, " classes"] | None:
    """Give the weight of each class, so that the mean over these rows is 1.

    >>> terms = Terms(kinds={}, classes=2, seed=0, class_weight="balanced")
    >>> class_weights(np.array([0.0, 0, 0, 1]), terms).round(3).tolist()
    [0.667, 2.0]
    """
    if terms.class_weight is None or not terms.classes:
        return None
    counts = np.bincount(y.astype(np.int64), minlength=terms.classes)
    if terms.class_weight == "balanced":
        made = 1.0 / np.maximum(counts, 1)
    else:
        made = np.array([terms.class_weight.get(code, 1.0) for code in range(terms.classes)])
    return made * counts.sum() / (made @ counts)


def thinned(y: Float64[np.ndarray, " rows"], classes: int, most: int, seed: int) -> Int64[np.ndarray, " kept"]:
    """Choose about `most` rows by seed, in their order; every class keeps its share, and at least one row."""
    chance = np.random.default_rng(seed)
    if not classes:
        return np.sort(chance.choice(len(y), size=most, replace=False))
    parts: list[Int64[np.ndarray, " places"]] = []
    for code in range(classes):
        places = np.flatnonzero(y == code)
        parts.append(chance.permutation(places)[: int(np.ceil(len(places) * most / len(y)))])
    return np.sort(np.concatenate(parts))
