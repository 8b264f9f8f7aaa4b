"""Predictions made again from receipts: the recorded body through the recorded release, and every bit compared."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias, final

import msgspec

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.data.traffic.read import batch_of, receipts
from holdtrue.data.traffic.receipt import Receipt, read_id
from holdtrue.data.traffic.subjects import Forgotten, Subjects
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.retention import dropped_between, find_receipt
from holdtrue.release.quarantine import Admitted, admit
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.ask import Problem
from holdtrue.serving.forms import ask_of
from holdtrue.serving.host import Host, differences, host_file, this_host
from holdtrue.serving.lane import MOST_ROWS, outputs_of
from holdtrue.serving.model import Model
from holdtrue.serving.plan import plan_of
from holdtrue.serving.reader import Typed, Unfit
from holdtrue.serving.sealing import FILE as SUBJECTS

MOST_TOLD = 20
TAMPERED = "the same libraries and processor made it, so its record was changed, or the end of its batch is missing"
MISSING = "receipts of its batch are missing, so it was made again among other rows"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A prediction that came out otherwise, or could not be made again, and why."""

    prediction: str
    what: str
    cause: str


Ready: TypeAlias = tuple[Admitted, Model]
Verdict: TypeAlias = "Difference | Literal['equal', 'forgotten']"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What became of the predictions that were made again.

    Attributes:
        different: how many are not equal; `differences` tells of the first ones.
        forgotten: those whose person was forgotten: what they said can never be read again.
        damaged: what of the log could not be read.
        dropped: predictions of that time that retention dropped, at most; they are not among `predictions`.
    """

    predictions: int
    rows: int
    equal: int
    different: int
    forgotten: int
    differences: tuple[Difference, ...]
    damaged: tuple[str, ...]
    dropped: int = 0

    @property
    def same(self) -> bool:
        return not self.different and not self.damaged

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "same": self.same}


def replay(
    keeper: Keeper,
    *,
    prediction: str | None,
    since_us: int | None,
    until_us: int | None,
    tell: Tell,
    again: "Again | None" = None,
) -> Replayed:
    """Make predictions again: one, or all between two times. Whoever replays often keeps an `Again`."""
    traffic = traffic_of(keeper)
    damaged: list[str] = []
    if prediction is None:
        kept = receipts(traffic, endpoint=keeper.project, since_us=since_us, until_us=until_us, faults=damaged)
        batches = (list(group) for _, group in groupby(kept, key=lambda one: (read_id(one.id)[1], one.batch)))
    else:
        one = find_receipt(keeper, prediction)
        batches = iter([list(batch_of(traffic, one, endpoint=keeper.project))])
    again = again or Again(keeper)
    predictions = rows = equal = forgotten = 0
    differences: list[Difference] = []
    for batch in batches:
        for receipt, verdict in again.run(batch):
            if prediction is not None and receipt.id != prediction:
                continue
            predictions += 1
            rows += receipt.rows
            equal += verdict == "equal"
            forgotten += verdict == "forgotten"
            if isinstance(verdict, Difference) and len(differences) < MOST_TOLD:
                differences.append(verdict)
        tell("replay", predictions)
    return Replayed(
        predictions=predictions,
        rows=rows,
        equal=equal,
        different=predictions - equal - forgotten,
        forgotten=forgotten,
        differences=tuple(differences),
        damaged=tuple(damaged),
        dropped=0 if prediction else dropped_between(keeper, since_us=since_us, until_us=until_us),
    )


def traffic_of(keeper: Keeper) -> Path:
    return keeper.home.path / "traffic"


def host_then(keeper: Keeper, prediction: str) -> Host | None:
    """Say what the process that made a prediction computed with; None when nothing is known of it."""
    path = host_file(traffic_of(keeper) / keeper.project, read_id(prediction)[1])
    try:
        return msgspec.json.decode(path.read_bytes(), type=Host)
    except (OSError, msgspec.DecodeError):
        return None


def ready_model(keeper: Keeper, digest: str) -> Ready:
    """Verify a release in full, and make it ready as a worker has it."""
    admitted = admit(keeper.folder_of(digest), trusted=trusted_keys(keeper.home.keys))
    if admitted.release.digest != digest:
        raise Refused(f"The release {digest[:12]} is not what lies in its place.", do="Restore it from a backup.")
    return admitted, Model(plan_of(admitted))


@final
class Again:
    """Releases made ready once, and batches run through them as they were run before.

    Where a receipt of a batch is missing, or its person was forgotten, other rows stand in its place: what a graph
    makes of a row may depend on how many rows there are and where it stands, but not on what the others say.
    """

    def __init__(self, keeper: Keeper, *, ready: Callable[[Keeper, str], Ready] = ready_model) -> None:
        self._keeper = keeper
        self._make_ready = ready
        self._subjects = Subjects(keeper.home.keys / SUBJECTS)
        self._ready: dict[str, Ready | HoldtrueError] = {}
        self._hosts: dict[int, Host | None] = {}
        self._here = this_host()

    def ready(self, digest: str) -> Ready:
        """Give a release, verified and made ready at its first use; raises what keeps it from being used."""
        found = self._ready.get(digest)
        if found is None:
            try:
                found = self._make_ready(self._keeper, digest)
            except (Refused, Misuse) as error:
                found = error
            self._ready[digest] = found
        if isinstance(found, HoldtrueError):
            raise found
        return found

    def reveal(self, receipt: Receipt) -> Receipt:
        """Open what was sealed for a person; raises `Forgotten`, or `Refused` when a bit of it changed."""
        return self._subjects.reveal(receipt)

    def typed(self, model: Model, receipt: Receipt) -> Typed:
        """Read what an open receipt says was asked; raises `Refused` when that cannot be."""
        try:
            ask = ask_of(receipt.wire, receipt.body, model.about)
            typed = model.reader.read(ask.columns, ask.rows, ask.numbers)
        except ImportError as error:
            raise Misuse(
                f"The prediction {receipt.id} was asked for by {receipt.wire}, which needs the package {error.name}.",
                do=f"Install it: pip install 'holdtrue[{receipt.wire}]'",
            ) from None
        except (Problem, Unfit, Misuse) as error:
            raise Refused(f"its body is not accepted now: {error}") from None
        if typed.rows != receipt.rows:
            raise Refused(f"its body has {typed.rows:,} rows, and its record speaks of {receipt.rows:,}")
        return typed

    def run(self, batch: Sequence[Receipt]) -> Iterator[tuple[Receipt, Verdict]]:
        """Make the receipts of one run of the graph again; gives what came of each."""
        for digest in dict.fromkeys(receipt.release for receipt in batch):
            # More than one release is a changed record: no graph had rows of another's.
            some = sorted((one for one in batch if one.release == digest), key=lambda one: one.place)
            yield from self._run(digest, some)

    def _run(self, digest: str, batch: Sequence[Receipt]) -> Iterator[tuple[Receipt, Verdict]]:
        try:
            _, model = self.ready(digest)
        except (Refused, Misuse) as error:
            cause = " ".join([error.what, *error.faults])
            for one in batch:
                yield one, Difference(prediction=one.id, what="its release cannot be used", cause=cause)
            return
        read: list[tuple[Receipt, Typed]] = []
        for one in batch:
            try:
                plain = self.reveal(one)
                read.append((plain, self.typed(model, plain)))
            except Forgotten:
                yield one, "forgotten"
            except Refused as error:
                yield one, self._difference(one, error.what, batch)
        yield from self._compared(model, read, batch)

    def _compared(
        self, model: Model, read: Sequence[tuple[Receipt, Typed]], batch: Sequence[Receipt]
    ) -> Iterator[tuple[Receipt, Verdict]]:
        """Run what could be read, each at its place, and compare."""
        if not read:
            return
        pieces, starts = _laid_out(read, end=max(one.place + one.rows for one in batch))
        try:
            arrays = model.run(pieces)
        except Exception as error:  # of the runtime, which has no error of its own to name
            for one, _ in read:
                yield one, self._difference(one, f"the graph cannot answer it: {error}", batch)
            return
        for (one, typed), start in zip(read, starts, strict=True):
            same = outputs_of(arrays, start, start + typed.rows) == one.outputs
            yield one, "equal" if same else self._difference(one, "the answer has other bits", batch)

    def _difference(self, receipt: Receipt, what: str, batch: Sequence[Receipt]) -> Difference:
        """Find the likeliest cause."""
        stream = read_id(receipt.id)[1]
        if stream not in self._hosts:
            self._hosts[stream] = host_then(self._keeper, receipt.id)
        then = self._hosts[stream]
        if then is None:
            cause = "nothing is known of the process that made it"
        elif changed := differences(then, self._here):
            cause = "; ".join(changed)
        else:
            cause = TAMPERED if _is_complete(batch) else MISSING
        return Difference(prediction=receipt.id, what=what, cause=cause)


def _is_complete(batch: Sequence[Receipt]) -> bool:
    """Whether the rows follow on each other; that nothing is missing behind the last, nobody knows."""
    return all(one.place == sum(other.rows for other in batch[:at]) for at, one in enumerate(batch))


def _laid_out(read: Sequence[tuple[Receipt, Typed]], *, end: int) -> tuple[list[Typed], list[int]]:
    """Put what could be read in its place, other rows between, up to `end`; gives the pieces, and where each begins.

    What a changed record says of places cannot be laid out; then the pieces just follow on each other.
    """
    places = [one.place for one, _ in read]
    ends = [one.place + one.rows for one, _ in read]
    fits = all(stop <= start for stop, start in zip(ends, [*places[1:], end], strict=True))
    if not fits or end - sum(typed.rows for _, typed in read) > MOST_ROWS:
        typed = [each for _, each in read]
        return typed, [sum(each.rows for each in typed[:at]) for at in range(len(typed))]
    one_row = _first_row(read[0][1])
    pieces: list[Typed] = []
    at = 0
    for (receipt, typed), stop in zip(read, ends, strict=True):
        pieces += [*[one_row] * (receipt.place - at), typed]
        at = stop
    return pieces + [one_row] * (end - at), places


def _first_row(typed: Typed) -> Typed:
    if typed.rows == 1:
        return typed
    numbers = [float(column[0]) for column in typed.numbers]  # pyright: ignore[reportIndexIssue]  # several rows are an array
    return Typed(rows=1, numbers=numbers, texts=[column[:1] for column in typed.texts])
