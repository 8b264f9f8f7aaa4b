"""A first project file for a data set: everything guessed from the rows, and the reason beside every guess."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import floor, log10
from pathlib import Path

import numpy as np

from holdtrue.core.errors import DataFault, Misuse, nearest
from holdtrue.data.contract import Contract
from holdtrue.data.contract_yaml import write_yaml
from holdtrue.data.infer import infer
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.profile import Profile, profile
from holdtrue.data.snapshot import scan, snapshot
from holdtrue.data.source import Source, batches
from holdtrue.evaluation.metric import METRICS
from holdtrue.pipeline.learn import as_predictions, terms_of
from holdtrue.pipeline.prepare import Prepared, Taken, prepare
from holdtrue.pipeline.progress import Tell, silent
from holdtrue.pipeline.workspace import Workspace, home_of
from holdtrue.spec import Loaded, Project
from holdtrue.spec.project import name_of
from holdtrue.training.examples import Examples
from holdtrue.training.fit import encode_and_fit

BASELINE_ROWS = 20_000
CONFIDENCE = 0.95
SAID = "you said so"
WIDE = 1.5  # of the value, where too few rows give no limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One guess and its reason."""

    about: str
    guess: str
    because: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """The texts of `holdtrue.yaml` and `contract.yaml`, and what was guessed for them."""

    project_text: str
    contract_text: str
    guesses: tuple[Told, ...]


def draft(
    file: str,
    target: str,
    *,
    folder: Path,
    query: str | None,
    time: Sequence[str],
    drop: Sequence[str],
    environ: Mapping[str, str],
    now: datetime,
    tell: Tell,
) -> Draft:
    """Read a source once and guess a project for it; `time` and `drop` are taken as said."""
    if target in (*time, *drop):
        raise Misuse(f"The target {target!r} is also named by --time or --drop.", do="Name it once, as --target.")
    home, notes = home_of(folder, environ), list[str]()
    tell("snapshot")
    rows = batches(Source(location=file, query=query), base=Path.cwd(), note=notes.append)
    taken = snapshot(rows, store=home.store, progress=lambda done: tell("snapshot", done))
    names = [column.name for column in taken.columns]
    unknown = [f"{name!r}{nearest(name, names)}" for name in (target, *time, *drop) if name not in names]
    if unknown:
        raise Misuse("These columns are not in the data:", faults=unknown)
    tell("profile")
    raw = scan(taken, home.store)
    found = profile(raw, target)
    project = _project(file, query, found, folder=folder, target=target, time=time, drop=drop)
    data = project.data
    contract, comments = infer(raw, target=target, time=data.time, key=data.key, drop=data.drop)
    if time:  # what was said is tried at once: the first run would stumble over it
        time_values(parse(contract.only(time), raw).collect(engine="streaming"), tuple(time))
    tell("baselines")
    workspace = Workspace(folder=folder, home=home, loaded=Loaded(project=project, where={}))
    lines, told = _promises(workspace, Taken(snapshot=taken, held_out_rows=None), contract, now)
    guesses = [*_guesses(found, data.time, data.key, time), *told]
    guesses += [Told(about="reading", guess="", because=note) for note in notes]
    return Draft(
        project_text=_text(project, found, lines, said=(*time, *drop)),
        contract_text=write_yaml(contract, comments),
        guesses=tuple(guesses),
    )


def _project(
    file: str,
    query: str | None,
    found: Profile,
    *,
    folder: Path,
    target: str,
    time: Sequence[str],
    drop: Sequence[str],
) -> Project:
    """Put the guesses together; what was said goes before what was guessed."""
    when = tuple(time) or found.time.value
    leave = dict.fromkeys([*drop, *(each.column for each in found.suspicions if each.drop)])
    kept = tuple(name for name in leave if name not in when and name != target)
    location = file if "://" in file else _relative(file, folder)
    key = tuple(name for name in found.key.value if name not in kept)
    assert found.task is not None
    return Project.model_validate(
        {
            "name": name_of(file),
            "task": found.task.value,
            "data": {"source": location, "query": query, "target": target, "time": when, "key": key, "drop": kept},
            "split": {"by": "time"} if when else _split_of(found),
        }
    )


def _split_of(found: Profile) -> dict[str, object]:
    by = found.split.value.by
    return {"by": by, "group": found.split.value.group} if by == "group" else {"by": by}


def _relative(file: str, folder: Path) -> str:
    path, base = Path(file).absolute(), folder.absolute()
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _guesses(found: Profile, when: Sequence[str], key: Sequence[str], given: Sequence[str]) -> list[Told]:
    assert found.task is not None
    told = [
        Told(about="task", guess=found.task.value, because=found.task.reason),
        Told(
            about="time",
            guess=" + ".join(when) or "none",
            because=SAID if given else found.time.reason,
        ),
        Told(about="key", guess=", ".join(key) or "none", because=found.key.reason),
        Told(
            about="split",
            guess="time" if when else found.split.value.by,
            because=SAID if given else found.split.reason,
        ),
    ]
    return told + [
        Told(about=each.column, guess="dropped" if each.drop else f"kept; {each.what}", because=each.reason)
        for each in found.suspicions
    ]


def _promises(workspace: Workspace, taken: Taken, contract: Contract, now: datetime) -> tuple[list[str], list[Told]]:
    """Promise a little less than the strong simple baseline reaches on the validation rows.

    Under the contract that is about to be written: one that lies in the folder from before is written over.
    """
    try:
        prepared = prepare(workspace, taken, now=now, tell=silent, contract=contract)
        metric = _shown_metric(prepared)
        reached = _baseline(prepared, workspace.project, metric)
    except (DataFault, Misuse) as error:
        note = f"the baselines could not be fitted: {error.what}"
        return ["  - small: {bytes_at_most: 20 MB}"], [Told(about="promises", guess="few", because=note)]
    higher = METRICS.get(metric).higher_is_better
    limit = reached[1] if higher else reached[2]
    if higher:
        limit = max(limit, 1 / len(prepared.classes))  # to promise less than chance says nothing
    elif not np.isfinite(limit):
        limit = WIDE * reached[0]
    bound = _rounded(limit, up=not higher)
    side = "at_least" if higher else "at_most"
    simple, trivial = prepared.task.simple, prepared.task.trivial
    lines = [
        f"  - quality: {{metric: {metric}, {side}: {bound:g}}} # {simple} reached {reached[0]:.4g} on validation rows",
        f"  - beats: {{baseline: {trivial}, metric: {prepared.task.metric}, by: 5%}} # it ignores every column",
        f"  - beats: {{baseline: {simple}, metric: {prepared.task.metric}, required: false}} # advisory",
    ]
    if prepared.classes:
        lines.append("  - calibrated: {error_at_most: 0.1, required: false}")
    lines += ["  - small: {bytes_at_most: 20 MB}", "  - fast: {p99_ms: 20}"]
    because = f"{simple} reaches {reached[0]:.4g} ({reached[1]:.4g} to {reached[2]:.4g}) on the validation rows"
    return lines, [Told(about="promises", guess=f"{metric} {side.replace('_', ' ')} {bound:g}", because=because)]


def _shown_metric(prepared: Prepared) -> str:
    """The metric people argue about, rather than the one that trains."""
    if not prepared.classes:
        return "rmse"
    return "roc_auc" if len(prepared.classes) == 2 else "balanced_accuracy"


def _baseline(prepared: Prepared, project: Project, metric: str) -> tuple[float, float, float]:
    everything = Examples(frame=prepared.frame, y=prepared.truth)
    chance = np.random.default_rng(project.learn.seed)
    train, held = prepared.parts.train, prepared.parts.validation
    if len(train) > BASELINE_ROWS:
        train = np.sort(chance.choice(train, BASELINE_ROWS, replace=False))
    model = encode_and_fit(prepared.task.simple, {}, everything.take(train), terms_of(prepared, project))
    answers = as_predictions(prepared.truth[held], model.predict(prepared.frame[held]), prepared.classes)
    found = METRICS.get(metric).estimate(answers, CONFIDENCE, project.learn.seed)
    low, high = METRICS.get(metric).bounds
    return found.value, max(found.low, low), min(found.high, high)


def _rounded(value: float, *, up: bool) -> float:
    """Round away from what was reached, to two figures of its distance from a whole.

    >>> _rounded(0.8437, up=False), _rounded(1234.5, up=True)
    (0.84, 1300.0)
    """
    if value == 0 or not np.isfinite(value):
        return 0.0
    unit = 10.0 ** (floor(log10(abs(value))) - 1)
    steps = -floor(-value / unit) if up else floor(value / unit)
    return float(f"{steps * unit:.6g}")


def _text(project: Project, found: Profile, promises: Sequence[str], *, said: Sequence[str]) -> str:
    data = project.data
    assert found.task is not None
    why = {each.column: f"{each.what}: {each.reason}" for each in found.suspicions} | dict.fromkeys(said, SAID)
    ordered = data.time and set(data.time) <= set(said)
    lines = [
        "# Guessed from the rows; every line may be changed. All keys: docs/reference/project-file.md",
        f"name: {json.dumps(project.name)}",
        f"task: {project.task} # {_one_line(found.task.reason)}",
        "data:",
        f"  source: {json.dumps(data.source)}",
        *([f"  query: {json.dumps(data.query)}"] if data.query else []),
        f"  target: {json.dumps(data.target)}",
        *(
            [f"  time: {json.dumps(list(data.time))} # {SAID if ordered else _one_line(found.time.reason)}"]
            if data.time
            else []
        ),
        *([f"  key: {json.dumps(list(data.key))} # {_one_line(found.key.reason)}"] if data.key else []),
    ]
    if data.drop:
        lines.append("  drop: # the model must not see these")
        lines += [f"    - {json.dumps(name)} # {_one_line(why.get(name, ''))}" for name in data.drop]
    group = f", group: {json.dumps(project.split.group)}" if project.split.group else ""
    why_split = SAID if ordered else _one_line(found.split.reason)
    lines += [
        f"split: {{by: {project.split.by}{group}, validation: 15%, test: 20%}} # {why_split}",
        "learn: {trials: 20, seed: 7} # work, never seconds; add learners: [...] to choose",
    ]
    if project.task == "classification":
        lines.append("# decide: {cost: {false_positive: 1, false_negative: 4}} # sets the threshold of a binary model")
    return "\n".join([*lines, "promises:", *promises, "confidence: 0.95", ""])


def _one_line(words: str) -> str:
    return " ".join(words.split())
