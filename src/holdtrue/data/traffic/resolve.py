"""Which label counts: a message heard twice is one, a later value corrects, sources that differ are a conflict."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from holdtrue.core.digest import canonical_json
from holdtrue.data.traffic.label import Label, Scalar

Target = tuple[str, int] | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Current:
    """What is held to be true of one row, or of one business key.

    Args:
        label: the one that was received last.
        history: all that were said, in the order they were received, each once.
        repeats: messages that said nothing new.
        conflict: whether two sources now say different things, or one message came with two values.
    """

    label: Label
    history: tuple[Label, ...]
    repeats: int = 0
    conflict: bool = False

    @property
    def corrections(self) -> int:
        return len(self.history) - 1


@dataclass(kw_only=True, slots=True)
class _Told:
    """What was heard of one target."""

    history: list[Label] = field(default_factory=list[Label])
    messages: dict[tuple[str, str, str], Label] = field(default_factory=dict[tuple[str, str, str], Label])
    repeats: int = 0
    is_reused: bool = False


def target_of(label: Label) -> Target:
    """Name what a label is for: the prediction and its row, or the business key.

    >>> target_of(Label(value=1, time_us=0, received_us=0, key={"order": 7, "day": "mon"}))
    '{"day":"mon","order":"7"}'
    """
    return (label.prediction, label.row) if label.prediction else key_target(label.key)


def key_target(key: Mapping[str, Scalar]) -> str:
    """Name a business key, however systems write its parts: 7, 7.0, "7" and " 7 " are one.

    >>> key_target({"order": 7.0, "paid": True, "shop": " Ulm "})
    '{"order":"7","paid":"true","shop":"Ulm"}'
    """
    return canonical_json({name: spelt(value) for name, value in key.items()}).decode()


def spelt(value: Scalar) -> str | None:
    """Write a part of a key so that the same ones are the same text; None for what is missing."""
    if value is None or isinstance(value, str):
        return value and value.strip()
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else json.dumps(value)


def current_labels(labels: Iterable[Label]) -> dict[Target, Current]:
    """Resolve labels, in whatever order they come: the same ones give the same result.

    A sender's message that comes again counts once, and so does the same content. A later value replaces an earlier
    one, and both stay in the history. When the last values of two sources differ, that is a conflict, and is said.

    >>> def said(value, received_us, source):
    ...     return Label(value=value, time_us=0, received_us=received_us, key={"order": 7}, source=source)
    >>> found = current_labels([said(1, 10, "shop"), said(0, 20, "shop"), said(1, 30, "bank")])
    >>> [(one.label.value, one.corrections, one.conflict) for one in found.values()]
    [(1, 2, True)]
    """
    return {target: current_of(heard) for target, heard in by_target(labels).items()}


def by_target(labels: Iterable[Label]) -> dict[Target, list[Label]]:
    """Put labels together by what they are for."""
    told: dict[Target, list[Label]] = {}
    for label in labels:
        told.setdefault(target_of(label), []).append(label)
    return told


def current_of(heard: Sequence[Label]) -> Current:
    """Resolve what was said of one row, by whatever names; there is a label at least."""
    if len(heard) == 1:  # as nearly all are
        return Current(label=heard[0], history=(heard[0],))
    told = _Told()
    # The content decides between labels of one moment, so that the order in which files are read does not.
    for label in sorted(heard, key=lambda label: (label.received_us, label.time_us, _content(label))):
        _hear(told, label)
    last = {label.source: _comparable(label.value) for label in told.history}
    return Current(
        label=told.history[-1],
        history=tuple(told.history),
        repeats=told.repeats,
        conflict=told.is_reused or len(set(last.values())) > 1,
    )


def _hear(told: _Told, label: Label) -> None:
    message = (label.caller, label.source, label.idempotency)
    known = told.messages.get(message) if label.idempotency else None
    if known is not None:
        told.repeats += 1
        told.is_reused |= _comparable(known.value) != _comparable(label.value)
        return
    if label.idempotency:
        told.messages[message] = label
    before = [one for one in told.history if one.source == label.source]
    if before and _same(before[-1], label):
        told.repeats += 1
    else:
        told.history.append(label)


def _same(one: Label, other: Label) -> bool:
    return _comparable(one.value) == _comparable(other.value) and one.time_us == other.time_us


def _comparable(value: Scalar) -> tuple[str, Scalar]:
    """Tell true from 1, which Python does not, but not 1 from 1.0, which JSON does not."""
    return ("bool" if isinstance(value, bool) else "other", value)


def _content(label: Label) -> bytes:
    return canonical_json([label.value, label.source, label.caller, label.idempotency])
