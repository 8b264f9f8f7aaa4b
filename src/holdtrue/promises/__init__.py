"""Evidence becomes a verdict: promises, the three answers, and the gate. Pure: values in, values out.

The path through this package:
    promise.py   a promise, its verdict, and the gate over all of them
    wording.py   the sentences that say why
"""

from holdtrue.promises.promise import Evidence, Judged, Promise, Verdict, fact, gate, gate_reason, judge

__all__ = ["Evidence", "Judged", "Promise", "Verdict", "fact", "gate", "gate_reason", "judge"]
