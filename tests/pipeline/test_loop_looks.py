"""What the loop is told of drifts: the worst that each does, and of slices only what does harm."""

from holdtrue.loop.events import DriftSeen
from holdtrue.monitoring.drift import Drift
from holdtrue.monitoring.harm import Harm
from holdtrue.pipeline.answers import ANSWERED
from holdtrue.pipeline.loop_looks import drifts_seen
from holdtrue.pipeline.watched import Quality, Watched, Window

NORTH = "nights where region is north"


def drift(column: str, *, whole: str = "") -> Drift:
    return Drift(column=column, evidence=9.0, size=0.4, windows=1, real=True, alarm=True, changed=(), whole=whole)


def seen(*harms: Harm) -> Watched:
    drifts = (drift("age"), drift("income"), drift(ANSWERED), drift(NORTH, whole="nights"))
    window = Window(start_us=0, rows=100, unread=0, late=0, drifts=drifts)
    quality = Quality(since_us=0, rows=100, labelled=0, odd=0, delay=None, promises=())
    return Watched(
        release="a" * 64, window_days=1.0, level=0.03, windows=(window,), quality=quality, damaged=(), harms=harms
    )


def test_a_drift_is_as_bad_as_the_worst_it_does() -> None:
    harmless = Harm(column="age", promise="accuracy", worse=0.0, error=0.01, slack=0.1)
    harmful = Harm(column="age", promise="ROC AUC", worse=0.1, error=0.01, slack=0.2)
    found = list(drifts_seen(seen(harmless, harmful)))
    assert found == [DriftSeen(column="age", harm="harmful"), DriftSeen(column="income", harm="cannot tell")]
    untold = Harm(column="income", promise="accuracy", why="nobody knows")
    calm = [Harm(column="age", promise="accuracy", worse=0.0, error=0.01), untold]
    assert [one.harm for one in drifts_seen(seen(*calm))] == ["harmless", "cannot tell"]


def test_of_slices_only_harm_is_told() -> None:
    bad = Harm(column=NORTH, promise="ROC AUC", worse=0.1, error=0.01, slack=0.2)
    assert list(drifts_seen(seen(bad)))[2:] == [DriftSeen(column=NORTH, harm="harmful")]
    assert list(drifts_seen(seen(Harm(column=NORTH, promise="ROC AUC", why="nobody knows"))))[2:] == []
