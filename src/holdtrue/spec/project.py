"""The project: every setting of `holdtrue.yaml`, with its default and what it allows."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from holdtrue.spec.loop import Retrain, Serve
from holdtrue.spec.promises import Days, Names, PromiseEntry, Section, Share
from holdtrue.spec.quantity import MONTH_DAYS, days, per_day

Columns = Annotated[Names, Field(min_length=1)]


class Data(Section):
    """Where the rows are and what their columns mean."""

    source: str = Field(description="A csv, parquet, arrow or jsonl file, a folder of parts, or a database URL.")
    query: str | None = Field(default=None, description="The SELECT to run when the source is a database.")
    test: str | None = Field(default=None, description="A second file whose rows are the held-out ones.")
    delimiter: str | None = Field(default=None, description="Found by itself when left out.")
    encoding: str | None = Field(default=None, description="Found by itself when left out.")
    header: bool = True
    columns: tuple[str, ...] | None = Field(default=None, description="Names for a file without a header.")
    target: str = Field(description="The column to predict.")
    positive: str | None = Field(default=None, description="The class that counts as positive in a binary task.")
    time: Names = Field(
        default=(), description="The column that orders the rows; or year, month and day columns as a list."
    )
    key: Names = Field(default=(), description="The columns that name a row.")
    drop: Names = Field(default=(), description="Columns the model must not see, such as what is known only later.")

    @model_validator(mode="after")
    def _target_is_seen(self) -> Self:
        if self.target in self.drop:
            raise ValueError(f"the target {self.target!r} is also in drop")
        return self

    @model_validator(mode="after")
    def _a_query_has_a_database(self) -> Self:
        if self.query is not None and not any("://" in place for place in (self.source, self.test or "")):
            raise ValueError(
                f"there is a query, and {self.source} is no database; give a URL such as sqlite:///file.db"
            )
        return self


class SplitSettings(Section):
    """Which rows teach, which choose, and which judge."""

    by: Literal["time", "group", "stratified", "random", "given"] | None = None
    group: str | None = Field(default=None, description="Rows with the same value stay together.")
    validation: Share = Field(default=0.15, gt=0, lt=0.9)
    test: Share = Field(default=0.2, gt=0, lt=0.9)

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.validation + self.test >= 0.95:
            raise ValueError("validation and test together leave less than 5 % of the rows to learn from")
        if self.by == "group" and self.group is None:
            raise ValueError("a split by group needs `group`, the column whose rows stay together")
        return self


class Learn(Section):
    """What is tried, and how much work may go into it."""

    learners: Names = Field(default=(), description="Those of the task when left out.")
    trials: int = Field(default=20, ge=1, le=10_000, description="Settings tried in all; work, never seconds.")
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    folds: int = Field(default=5, ge=2, le=20, description="For out-of-fold predictions.")
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    seed: int = Field(default=7, ge=0, le=2**31 - 1)


class Cost(Section):
    """What each kind of mistake costs, in one unit; a benefit is negative."""

    false_positive: float = 1.0
    false_negative: float = 1.0
    true_positive: float = 0.0
    true_negative: float = 0.0

    @model_validator(mode="after")
    def _a_mistake_costs(self) -> Self:
        if self.false_positive <= self.true_negative or self.false_negative <= self.true_positive:
            raise ValueError("a mistake must cost more than being right about the same row")
        return self


class Decide(Section):
    """How probabilities become decisions, and numbers become intervals."""

    cost: Cost | None = None
    coverage: Share = Field(default=0.9, gt=0.5, lt=1, description="The share that predicted intervals must cover.")


class Report(Section):
    """What the report looks at beside the promises."""

    slices: Names = Field(default=(), description="Columns to slice by; all that make sense when left out.")
    fair_across: Names = Field(default=(), description="Columns whose groups are compared, beside the promises.")
    learning_curve: bool = True


class Listener(Section):
    """Who is told of alarms: exactly one of webhook, slack, alertmanager and email."""

    webhook: str | None = Field(default=None, description="An address that takes JSON.")
    slack: str | None = Field(default=None, description="An incoming webhook of Slack, or of what reads the same.")
    alertmanager: str | None = Field(default=None, description="The address of a Prometheus Alertmanager.")
    email: Names = Field(default=(), description="Who gets a mail.")
    secret: str | None = Field(default=None, min_length=8, description="Signs what a webhook gets: ${HOOK_SECRET}.")
    smtp: str | None = Field(default=None, description="smtps://USER:PASSWORD@HOST:PORT, or smtp:// for STARTTLS.")
    sender: str = Field(default="holdtrue@localhost", description="From whom a mail is.")
    private: bool = Field(default=False, description="The address may be one of a private network.")

    @property
    def kind(self) -> str:
        return next(name for name in ("webhook", "slack", "alertmanager", "email") if getattr(self, name))

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("webhook", "slack", "alertmanager", "email") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError("say exactly one of webhook, slack, alertmanager and email")
        if self.secret is not None and self.webhook is None:
            raise ValueError("a secret signs what a webhook gets; the others have no place for it")
        if bool(self.email) != (self.smtp is not None):
            raise ValueError("a mail needs both: email, to whom, and smtp, by which server")
        return self


class Watch(Section):
    """How a release in service is looked at."""

    alarm_budget: Annotated[float, BeforeValidator(per_day, json_schema_input_type=float | str), Field(gt=0, le=24)] = (
        Field(default=1 / MONTH_DAYS, description="How many false alarms are accepted: `1/month`, `2/week`, `4/year`.")
    )
    window: Days = Field(default=1.0, ge=1 / 24, le=31, description="The time that is looked at as one: `1d`, `12h`.")
    by: str | None = Field(
        default=None,
        description="A column of dates: windows go by it, instead of by when a row was asked for.",
    )
    late: Annotated[float, BeforeValidator(days, json_schema_input_type=float | str), Field(ge=0, le=31)] = Field(
        default=0.0, description="A window is looked at so long after its end; what comes later still is left out."
    )
    slices: tuple[str, ...] = Field(
        default=(),
        max_length=5,
        description="Columns of categories: the others are watched within each of their values too.",
    )
    tell: tuple[Listener, ...] = Field(default=(), max_length=20, description="Who is told of alarms.")
    runbook: str = Field(default="docs/howto/alarms.md", description="Where it says what to do about an alarm.")


def name_of(source: str) -> str:
    """Name a project for its data.

    >>> name_of("data/hotel bookings.csv.gz"), name_of("sqlite:///shop.db?mode=ro"), name_of("../")
    ('hotel-bookings', 'shop', 'project')
    """
    stem = PurePosixPath(source.split("?", maxsplit=1)[0]).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "project"


class Project(Section):
    """One project file, read and checked."""

    name: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="That of the file or folder of the data when left out.",
    )
    task: Literal["classification", "regression"] | None = Field(
        default=None, description="Found from the target when left out."
    )
    data: Data
    split: SplitSettings = SplitSettings()
    learn: Learn = Learn()
    decide: Decide = Decide()
    report: Report = Report()
    promises: tuple[PromiseEntry, ...] = ()
    serve: Serve = Serve()
    watch: Watch = Watch()
    retrain: Retrain = Retrain()
    confidence: Annotated[Share, Field(ge=0.5, lt=1)] = 0.95

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        match given:
            case {"data": {"source": str(source)}} if "name" not in given:
                return {"name": name_of(source), **given}
            case _:
                return given

    @field_validator("promises")
    @classmethod
    def _promises_can_hold_together(cls, promises: tuple[PromiseEntry, ...]) -> tuple[PromiseEntry, ...]:
        least: dict[str, float] = {}
        most: dict[str, float] = {}
        for entry in promises:
            if entry.quality is None:
                continue
            about = f"{entry.quality.metric} {sorted((entry.quality.where or {}).items())}"
            if entry.quality.at_least is not None:
                least[about] = max(least.get(about, float("-inf")), entry.quality.at_least)
            if entry.quality.at_most is not None:
                most[about] = min(most.get(about, float("inf")), entry.quality.at_most)
        faults = [
            f"{about.split(' ', 1)[0]} is promised to be at least {least[about]} and at most {most[about]}"
            for about in sorted(least.keys() & most.keys())
            if least[about] > most[about]
        ]
        if faults:
            raise ValueError(f"some contradict: {'; '.join(faults)}")
        return promises
