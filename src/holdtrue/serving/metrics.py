"""What is counted, and how Prometheus is told: counters and histograms in plain dictionaries, merged over all workers.

Names and units follow Prometheus' conventions: seconds and bytes, and `_total` for what only grows.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Literal, final

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)

# name -> kind, what it says, its labels
KNOWN: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "holdtrue_requests_total": ("counter", "Requests by route and status.", ("route", "status")),
    "holdtrue_request_duration_seconds": (
        "histogram",
        "Time from the whole request to its answer.",
        ("model", "release", "route"),
    ),
    "holdtrue_predicted_rows_total": ("counter", "Rows answered.", ("model", "release", "route")),
    "holdtrue_requests_cancelled_total": ("counter", "Requests whose client left before the answer.", ()),
    "holdtrue_release_errors_total": (
        "counter",
        "Requests that a release was asked and did not answer, by cause.",
        ("model", "release", "route", "cause"),
    ),
    "holdtrue_shadow_refused_total": ("counter", "Requests a shadow went without.", ("model", "release")),
    "holdtrue_shadow_answers_total": ("counter", "Requests that a shadow answered.", ("model", "release")),
    "holdtrue_batch_rows": ("histogram", "Rows that went through a graph together.", ("model",)),
    "holdtrue_cache_hits_total": ("counter", "Rows whose answer was kept and given again.", ("model", "release")),
    "holdtrue_cache_misses_total": ("counter", "Rows whose answer was not kept.", ("model", "release")),
    "holdtrue_cache_errors_total": ("counter", "Times the shared cache could not be asked or believed.", ()),
    "holdtrue_labels_total": ("counter", "Labels that were kept.", ()),
    "holdtrue_connections": ("gauge", "Open connections.", ()),
    "holdtrue_connections_cut_total": ("counter", "Connections ended because of a limit.", ()),
    "holdtrue_receipts_written_total": ("counter", "Records the system has.", ()),
    "holdtrue_receipts_durable_total": ("counter", "Records the disk has.", ()),
    "holdtrue_receipts_lost_total": ("counter", "Answers that could not be recorded.", ()),
    "holdtrue_receipts_failing": ("gauge", "Workers that cannot write now.", ()),
    "holdtrue_wait_seconds": ("gauge", "The wait a request would have now, summed over workers.", ("model", "release")),
    "holdtrue_model_info": ("gauge", "Workers in which a release is loaded.", ("model", "release")),
    "holdtrue_worker_restarts_total": ("counter", "Workers that ended and were started again.", ()),
    "holdtrue_workers": ("gauge", "Workers that answer.", ()),
    "holdtrue_promise_state": (
        "gauge",
        "How a promise of the champion stands: 1 for its state, nothing for the others.",
        ("model", "promise", "state"),
    ),
    "holdtrue_error_budget_left_ratio": (
        "gauge",
        "The part of a promise's error budget of 30 days that is left.",
        ("model", "promise"),
    ),
    "holdtrue_alarms": ("gauge", "Alarms that last.", ("model",)),
    "holdtrue_deployments": ("gauge", "Times in 30 days that a release became champion.", ("model",)),
    "holdtrue_lead_time_seconds": ("gauge", "From a release made to it being champion, at the median.", ("model",)),
    "holdtrue_change_failure_ratio": ("gauge", "Deployments of 30 days that were taken back.", ("model",)),
    "holdtrue_restore_seconds": ("gauge", "From a failed deployment to its end, at the median.", ("model",)),
    "holdtrue_training_cost": ("gauge", "What a training costs, on average.", ("model",)),
    "holdtrue_prediction_cost_per_million": ("gauge", "What a million rows cost, on average.", ("model",)),
    "holdtrue_prediction_kwh_per_million": ("gauge", "Energy for a million rows, estimated.", ("model",)),
    "holdtrue_cpu_seconds_total": ("counter", "Processor time of the workers.", ()),
    "holdtrue_resident_bytes": ("gauge", "Memory of the workers.", ()),
}
BUCKETS: Mapping[str, tuple[float, ...]] = {"holdtrue_batch_rows": ROWS, "holdtrue_request_duration_seconds": SECONDS}

DURATION, ERRORS = "holdtrue_request_duration_seconds", "holdtrue_release_errors_total"
# Why a release did not answer. `graph`: it raised an error on rows that keep the contract. `late`: the deadline passed
# while the request waited for it. `overloaded`: too much waited for it. `left`: the client was gone before its turn.
# `contract`: the rows break the contract, which is the release's own. `unwritten`: its outputs fit no form of answer.
# What would have hit any release (no token, no quota, a broken body, a full disk) is not counted here.
Cause = Literal["graph", "late", "overloaded", "left", "contract", "unwritten"]

Snapshot = list[tuple[str, list[str], float | list[float]]]


@final
class Metrics:
    """Counts in one process. The labels of a name are always given in the order of `KNOWN`."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[str, ...]], float] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], list[float]] = {}

    def count(self, name: str, labels: tuple[str, ...], by: float = 1) -> None:
        key = (name, labels)
        self._values[key] = self._values.get(key, 0) + by

    def lose(self, model: str, release: str, route: str, cause: Cause) -> None:
        """Count a request that a release did not answer."""
        self.count(ERRORS, (model, release, route, cause))

    def set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        self._values[(name, labels)] = value

    def forget(self, name: str) -> None:
        """Drop what was set under a name, so that only what is set again is told."""
        for key in [key for key in self._values if key[0] == name]:
            del self._values[key]

    def observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        key = (name, labels)
        bounds = BUCKETS[name]
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = [0.0] * (len(bounds) + 2)  # a count a bucket, one above them, the sum
        found[bisect_left(bounds, value)] += 1
        found[-1] += value

    def join(self, name: str, labels: tuple[str, ...], counts: list[float]) -> None:
        """Add a histogram that was counted elsewhere."""
        old = self._histograms.setdefault((name, labels), [0.0] * len(counts))
        for place, count in enumerate(counts):
            old[place] += count

    def snapshot(self) -> Snapshot:
        """Give everything counted, as plain values that another process can merge."""
        plain: Snapshot = [(name, list(labels), value) for (name, labels), value in self._values.items()]
        plain += [(name, list(labels), list(value)) for (name, labels), value in self._histograms.items()]
        return plain


def merged(snapshots: Iterable[Iterable[Any]]) -> Metrics:
    """Add up what several processes counted; gauges are sums too."""
    whole = Metrics()
    for snapshot in snapshots:
        for name, labels, value in snapshot:
            if name not in KNOWN:
                continue
            if isinstance(value, list):
                whole.join(name, tuple(labels), value)
            else:
                whole.count(name, tuple(labels), value)
    return whole


def counters_only(snapshot: Snapshot) -> Snapshot:
    """Keep what stays true when its process is gone."""
    return [entry for entry in snapshot if KNOWN[entry[0]][0] != "gauge"]


def flat(snapshot: Snapshot) -> dict[str, float]:
    """Give counters and gauges by their name with the values of their labels, such as `name{model,200}`."""
    return {
        f"{name}{{{','.join(labels)}}}" if labels else name: value
        for name, labels, value in snapshot
        if not isinstance(value, list)
    }


def latency(snapshot: Snapshot) -> dict[str, Any]:
    """Give how many answers of each release took how long: a count for each bound, in seconds, and one for above."""
    return {
        "bounds_s": list(SECONDS),
        "answers": [
            {"model": labels[0], "release": labels[1], "route": labels[2], "counts": value[:-1], "sum_s": value[-1]}
            for name, labels, value in snapshot
            if name == DURATION and isinstance(value, list)
        ],
    }


def exposition(metrics: Metrics) -> bytes:
    """Write metrics in the text format of Prometheus, version 0.0.4."""
    entries: dict[str, list[tuple[list[str], float | list[float]]]] = {}
    for name, labels, value in metrics.snapshot():
        entries.setdefault(name, []).append((labels, value))
    lines: list[str] = []
    for name, (kind, help_text, label_names) in KNOWN.items():
        if name not in entries:
            continue
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        for labels, value in sorted(entries[name], key=lambda entry: entry[0]):
            pairs = [f'{key}="{_escaped(text)}"' for key, text in zip(label_names, labels, strict=True)]
            if isinstance(value, list):
                lines += _histogram(name, pairs, value)
            else:
                lines.append(f"{name}{_braced(pairs)} {value:.15g}")
    return ("\n".join(lines) + "\n").encode()


def _histogram(name: str, pairs: list[str], value: list[float]) -> list[str]:
    lines: list[str] = []
    below = 0.0
    for bound, count in zip([*BUCKETS[name], None], value[:-1], strict=True):
        below += count
        limit = "+Inf" if bound is None else f"{bound:g}"
        le = f'le="{limit}"'
        lines.append(f"{name}_bucket{_braced([*pairs, le])} {below:.15g}")
    return [*lines, f"{name}_sum{_braced(pairs)} {value[-1]:.15g}", f"{name}_count{_braced(pairs)} {below:.15g}"]


def _braced(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
