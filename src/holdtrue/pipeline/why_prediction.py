"""Why one prediction came out as it did: who answered, made of what, and how much each column moved the answer."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float64

from holdtrue.core.errors import Refused
from holdtrue.data.breach import shown
from holdtrue.data.dates import iso_of_seconds
from holdtrue.data.traffic.read import batch_of
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import TAMPERED, Again, Difference, Verdict, host_then, traffic_of
from holdtrue.pipeline.retention import find_receipt
from holdtrue.pipeline.why import Cause, Explanation
from holdtrue.release.held import MODEL, REFERENCE
from holdtrue.release.quarantine import Admitted
from holdtrue.serving.host import differences, this_host
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed

PAIRS = 200  # of permutations, each with its reverse
MOST_COLUMNS = 12
SEED = 7

Pick: TypeAlias = "Callable[[Mapping[str, np.ndarray]], np.ndarray]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """How much one column moved an answer; `error` is the standard error of that."""

    name: str
    moved: float
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """An answer shared out: `usual` and all that was `moved` add up to it."""

    usual: float
    answer: float
    parts: tuple[Part, ...]


def shares(
    answer: "Callable[[pl.DataFrame], Float64[np.ndarray, ' rows']]",
    row: pl.DataFrame,
    past: pl.DataFrame,
    *,
    seed: int,
    pairs: int = PAIRS,
) -> Shares:
    """Share out the difference between an answer and the usual one among the columns: Shapley values, sampled.

    A row of the past is turned into the row in question one column after the other, in a random order; what each step
    moves the answer is that column's. Every order is also walked in reverse, from the same row, which lessens the
    spread. Strumbelj and Kononenko 2014, doi:10.1007/s10115-013-0679-x.
    """
    chance = np.random.default_rng(seed)
    names = row.columns
    starts = chance.choice(past.height, pairs, replace=past.height < pairs)
    # step_of[w, c]: at which step of walk w column c gets its value; the walks of a pair follow on each other.
    orders = chance.permuted(np.tile(np.arange(len(names)), (pairs, 1)), axis=1)
    step_of = np.argsort(np.stack([orders, orders[:, ::-1]], axis=1).reshape(2 * pairs, -1), axis=1)
    steps = np.arange(len(names) + 1)
    at = np.repeat(starts, 2 * len(steps))
    turned = pl.DataFrame(
        [
            row.get_column(name)
            .new_from_index(0, len(at))
            .zip_with(pl.Series((step_of[:, [place]] < steps).ravel()), past.get_column(name).gather(at))
            for place, name in enumerate(names)
        ]
    )
    answers = answer(turned).reshape(2 * pairs, len(steps))
    moved = np.take_along_axis(np.diff(answers, axis=1), step_of, axis=1)
    paired = (moved[0::2] + moved[1::2]) / 2
    errors = paired.std(axis=0, ddof=1) / np.sqrt(pairs)
    return Shares(
        usual=float(answers[:, 0].mean()),
        answer=float(answers[0, -1]),
        parts=tuple(
            Part(name=name, moved=float(paired[:, place].mean()), error=float(errors[place]))
            for place, name in enumerate(names)
        ),
    )


def explain_prediction(keeper: Keeper, prediction: str, *, again: Again | None = None) -> Explanation:
    """Explain a prediction by its id. Whoever explains often keeps an `Again`."""
    again = again or Again(keeper)
    traffic = traffic_of(keeper)
    try:
        receipt = find_receipt(keeper, prediction)
    except Refused as error:
        return Explanation(run=prediction, headline=f"Prediction {prediction}.", causes=(_damaged(error),))
    admitted, model = again.ready(receipt.release)
    batch = batch_of(traffic, receipt, endpoint=keeper.project)
    verdict: Verdict = next(verdict for one, verdict in again.run(batch) if one.id == receipt.id)
    causes = [_who(admitted, receipt), _kept(model)]
    if verdict == "forgotten":
        causes.append(Cause(what="Its person was forgotten: what was asked and answered can never be read again."))
    else:
        again_made = _made_again(keeper, receipt, verdict)
        if again_made.kind:
            causes.insert(0, again_made)
        else:
            causes.append(again_made)
        causes += [_moved(admitted, model, again.typed(model, again.reveal(receipt)))]
    rows = f"{receipt.rows:,} row{'s' if receipt.rows > 1 else ''}"
    who = f" for {receipt.caller}" if receipt.caller else ""
    headline = f"Prediction {receipt.id}: {rows}, answered {iso_of_seconds(receipt.time_us / 1e6)}{who}."
    return Explanation(run=receipt.id, headline=headline, causes=tuple(causes))


def _who(admitted: Admitted, receipt: Receipt) -> Cause:
    lineage = admitted.release.core.lineage
    return Cause(
        what=f"The release {receipt.release[:12]} answered as {receipt.route}, with weight {receipt.weight:g}.",
        because=(
            f"it was trained on the snapshot {lineage.snapshot[:12]}, by the learner {lineage.learner}",
            f"its code is {lineage.package[:12]} of Holdtrue and {len(lineage.sources)} files of the project",
            f"it is signed by the key {admitted.fingerprint[:16]}",
        ),
    )


def _kept(model: Model) -> Cause:
    contract = model.reader.contract
    held = tuple(f"rule {rule.name!r} holds: {rule.text}" for rule in contract.rules)
    what = f"Its rows kept the contract of {len(contract.fields)} columns; they would not have been answered otherwise."
    return Cause(what=what, because=held)


def _damaged(error: Refused) -> Cause:
    return Cause(
        what="Its record is damaged: a bit of it is not as it was written.",
        because=(error.what, *error.faults),
        do=error.do or "Restore the log of traffic from a backup.",
        kind="receipt changed",
        where="traffic",
    )


def _made_again(keeper: Keeper, receipt: Receipt, verdict: Verdict) -> Cause:
    if not isinstance(verdict, Difference):
        return Cause(what="Made again from its receipt it is the same to the bit.")
    what, because = "Made again from its receipt it is NOT the same.", (f"{verdict.what}: {verdict.cause}",)
    then = host_then(keeper, receipt.id)
    changed = [] if then is None else differences(then, this_host())
    if not changed:
        kind, where = ("receipt changed", "traffic") if verdict.cause == TAMPERED else ("replay differs", "")
        return Cause(what=what, because=because, do="Check the log: holdtrue replay --all", kind=kind, where=where)
    library = next((name for name in then.libraries if changed[0].startswith(f"{name} ")), "") if then else ""
    return Cause(
        what=what,
        because=because,
        do="Make it again with what made it: the environment.lock of the release names every version.",
        kind="other libraries" if library else "other machine",
        where=library or changed[0],
    )


def _moved(admitted: Admitted, model: Model, typed: Typed) -> Cause:
    """Say how much each column moved the answer of the first row."""
    past = pl.read_parquet(io.BytesIO(admitted.files[REFERENCE]))
    row = _frame(model, typed).head(1)
    # Personal columns are in no past that is kept: they stay as they are, and are not shown.
    known = [name for name in row.columns if name in past.columns and not model.reader.contract.field(name).personal]
    if not known or past.height == 0:
        return Cause(what="The release keeps no rows of the past to compare with.")
    ready = session(admitted.files[MODEL])
    title, pick = _headline(admitted, run(ready, row))
    fixed = row.select(name for name in row.columns if name not in known)

    def answer(rows: pl.DataFrame) -> np.ndarray:
        kept = [fixed.get_column(name).new_from_index(0, rows.height) for name in fixed.columns]
        return pick(run(ready, rows.hstack(kept)))

    found = shares(
        answer, row.select(known), past.select(pl.col(name).cast(row.schema[name]) for name in known), seed=SEED
    )
    largest = sorted(found.parts, key=lambda part: -abs(part.moved))[:MOST_COLUMNS]
    values = row.row(0, named=True)
    because = [
        f"{part.name} = {_shown(model, part.name, values[part.name])}: {part.moved:+.4f} (± {1.96 * part.error:.4f})"
        for part in largest
        if part.moved
    ]
    left = sum(part.moved for part in found.parts) - sum(part.moved for part in largest)
    if abs(left) > 1e-9:
        because.append(f"all other columns: {left:+.4f}")
    if fixed.columns:
        because.append("of personal columns nothing is said: no values of the past are kept for them")
    first = "Of row 1 " if typed.rows > 1 else ""
    return Cause(
        what=f"{first}{title} is {found.answer:.4f}; over {PAIRS} rows of the past it is {found.usual:.4f} on average.",
        because=tuple(because),
    )


def _headline(admitted: Admitted, answers: Mapping[str, np.ndarray]) -> tuple[str, Pick]:
    """Choose the number that is explained: a value, or the probability of the second or of the likeliest class."""
    classes = admitted.release.core.classes
    if not classes:
        return "the value", lambda made: made["value"][:, 0].astype(np.float64)
    code = 1 if len(classes) == 2 else int(answers["probabilities"][0].argmax())
    return f"the probability of {classes[code]!r}", lambda made: made["probabilities"][:, code].astype(np.float64)


def _shown(model: Model, name: str, value: object) -> str:
    field = model.reader.contract.field(name)
    if isinstance(value, float) and field.kind == "date" and not field.personal:
        return iso_of_seconds(value)
    return "missing" if value is None else shown(value, personal=field.personal)


def _frame(model: Model, typed: Typed) -> pl.DataFrame:
    """Show typed rows as a table."""
    numbers = np.asarray(typed.numbers, dtype=np.float64).reshape(len(model.reader.numbers), typed.rows)
    made = {
        name: pl.Series(name, values).fill_nan(None) for name, values in zip(model.reader.numbers, numbers, strict=True)
    }
    for name, texts in zip(model.reader.texts, typed.texts, strict=True):
        made[name] = pl.Series(name, [text or None for text in texts], dtype=pl.String)
    return pl.DataFrame([made[name] for name in model.about.order])
