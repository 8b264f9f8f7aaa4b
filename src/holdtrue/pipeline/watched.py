"""What was seen of a release in service, for whoever acts on it or shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdtrue.monitoring.delay import Delay
from holdtrue.monitoring.drift import Drift
from holdtrue.monitoring.estimate import Estimated
from holdtrue.monitoring.feedback import ANYWAY, Feedback
from holdtrue.monitoring.harm import Harm
from holdtrue.monitoring.quality import Held

DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """What one window of time says.

    Attributes:
        drifts: of every column that is watched, the one with the most evidence first; none without rows.
        unread: predictions whose person was forgotten, or whose record is damaged.
        late: rows that came after the window was due to be looked at; they are not among its rows.
    """

    start_us: int
    rows: int
    unread: int
    late: int
    drifts: tuple[Drift, ...]

    @property
    def alarms(self) -> tuple[Drift, ...]:
        return tuple(drift for drift in self.drifts if drift.alarm)

    @property
    def of_columns(self) -> "tuple[Drift, ...]":
        """The alarms of columns as a whole."""
        return tuple(drift for drift in self.alarms if not drift.whole)

    def to_json(self) -> dict[str, object]:
        return {
            "start": _moment(self.start_us),
            "rows": self.rows,
            "unread": self.unread,
            "late": self.late,
            "alarms": len(self.alarms),
            "drifts": [drift.to_json() for drift in self.drifts],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """What labels say of the rows since a moment.

    Attributes:
        rows: all that were answered; `labelled` are those whose truth is known, `odd` those whose label is no class.
        delay: how long labels take, and how many of the rows are to get one yet; None where none has come.
        issues: the share of its labels that looks wrong, at least, for each source of labels.
        feedback: whether what was decided for a row decides whether it gets a label.
    """

    since_us: int
    rows: int
    labelled: int
    odd: int
    delay: Delay | None
    promises: tuple[Held, ...]
    issues: Mapping[str, float] = field(default_factory=dict[str, float])
    feedback: Feedback = ANYWAY

    def to_json(self) -> dict[str, object]:
        return {
            "since": _moment(self.since_us),
            "rows": self.rows,
            "labelled": self.labelled,
            "odd": self.odd,
            "delay_s": None if self.delay is None else self.delay.half_s,
            "delay_most_s": None if self.delay is None else self.delay.most_s,
            "to_come": None if self.delay is None else round(self.delay.to_come),
            "promises": [held.to_json() for held in self.promises],
            "label_issues": dict(self.issues),
            "feedback": {"unlabelled": list(self.feedback.unlabelled), "exploration": self.feedback.exploration},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What was seen of a release.

    Attributes:
        level: the chance of any false alarm that a window may have.
        windows: oldest first; each is over.
        quality: what labels say of each promise about a metric.
        harms: what the columns under alarm in the last window with rows are estimated to do to each such promise, the
            worst first; empty where the held-out rows of the release are not in this store.
        damaged: what of the log could not be read.
        estimates: of each such promise until labels come; empty where those rows are not in this store.
    """

    release: str
    window_days: float
    level: float
    windows: tuple[Window, ...]
    quality: "Quality"
    damaged: tuple[str, ...]
    harms: tuple[Harm, ...] = ()
    estimates: tuple[Estimated, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "release": self.release,
            "window_days": self.window_days,
            "level": self.level,
            "alarms": sum(len(window.alarms) for window in self.windows),
            "windows": [window.to_json() for window in self.windows],
            "quality": self.quality.to_json(),
            "harms": [harm.to_json() for harm in self.harms],
            "estimates": [estimate.to_json() for estimate in self.estimates],
            "damaged": list(self.damaged),
        }


def _moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC).isoformat()
