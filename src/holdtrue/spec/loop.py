"""What the loop may do by itself: when it trains again, on which rows, and how a challenger meets traffic."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from holdtrue.spec.promises import Days, Section, Share
from holdtrue.spec.quantity import MONTH_DAYS, per_day

When = Literal["broken promise", "promise at risk", "harmful drift"]
Sign = Literal["errors", "latency", "scores", "labels"]


class Canary(Section):
    """How a challenger meets traffic: beside the champion, then for a growing share of it, then under guard."""

    shadow: Days = Field(default=1.0, description="How long it is asked too, and never answers: `1d`, `12h`.")
    shares: tuple[Share, ...] = Field(
        default=(0.01, 0.1, 0.5), min_length=1, max_length=10, description="Of the requests, stage by stage."
    )
    stage: Days = Field(default=3.0, description="A stage that is undecided after so long waits for a person.")
    requests: int = Field(default=1_000, ge=1, description="The least that a stage is judged by.")
    decide_by: tuple[Sign, ...] = Field(
        default=("errors", "latency", "scores"), min_length=1, description="What must be not worse to pass a stage."
    )
    guard: Days = Field(default=7.0, description="How long the new champion is watched with the old one at hand.")

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        rising = all(low < high for low, high in zip(self.shares, self.shares[1:], strict=False))
        if not rising or not self.shares[0] > 0 or not self.shares[-1] < 1:
            raise ValueError("shares rise, and lie between 0 and 1, both excluded")
        return self


class Serve(Section):
    """How releases change while they answer."""

    canary: Canary = Canary()
    retention: Days | None = Field(
        default=None,
        description="How long receipts and labels are kept; gc --delete drops older ones. For ever when left out.",
    )


class Cost(Section):
    """What trainings may cost, in the unit of `per_cpu_hour`."""

    per_cpu_hour: float = Field(default=1.0, gt=0, description="The price of an hour of one core; 1 counts the hours.")
    watts_per_core: float = Field(
        default=10.0, gt=0, description="What a busy core draws, with its share of the machine: to estimate energy."
    )
    each: float | None = Field(default=None, gt=0, description="The most that one training may cost.")
    at_most: float | None = Field(default=None, ge=0, description="Of all trainings within 30 days.")


class Retrain(Section):
    """When a challenger is trained, from which rows, and what holds that back."""

    when: tuple[When, ...] = Field(
        default=("broken promise", "harmful drift"), description="What starts a training; an empty list: nothing."
    )
    every: Days | None = Field(default=None, description="Train this long after the last time, whatever is seen.")
    after_rows: int | None = Field(default=None, ge=1, description="Train after so many more rows were answered.")
    cooldown: Days = Field(default=1.0, description="None starts this soon after the last.")
    at_most: Annotated[float, BeforeValidator(per_day, json_schema_input_type=float | str), Field(gt=0, le=24)] = Field(
        default=8 / MONTH_DAYS, description="How many trainings: `4/month`, `1/week`."
    )
    source: Literal["both", "traffic", "source"] = Field(
        default="both", description="Rows come from data.source, from labelled traffic, or from both."
    )
    newest: Days | None = Field(default=None, description="Learn only from rows this recent; from all when left out.")
    validation: Share = Field(default=0.05, gt=0, lt=0.5, description="Of the rows, to choose by.")
    test: Share = Field(default=0.1, gt=0, lt=0.5, description="Of the rows, the newest, to judge by.")
    margin: Share = Field(
        default=0.01, gt=0, lt=1, description="Worse by less than this part of the champion's value is not worse."
    )
    approve: Literal["auto", "manual"] = Field(default="auto", description="Whether persons agree before a canary.")
    people: int = Field(default=1, ge=1, le=10, description="How many different ones, where `approve` is manual.")
    wait: Days | None = Field(
        default=30.0,
        description="A challenger that is not settled is given up when no person spoke for so long; never when null.",
    )
    cost: Cost = Cost()
    label_issues: Share = Field(
        default=0.1, gt=0, le=1, description="A source with more labels that look wrong holds trainings back."
    )
    exploration: Share = Field(
        default=0.01, ge=0, le=1, description="The least share of chance where labels come from what the model chose."
    )
    feedback: Literal["warn", "hold"] = Field(default="warn", description="What less exploration than that does.")
    storm: int = Field(default=3, ge=1, description="So many useless trainings in a row pause the loop.")
    dry_run: bool = Field(default=False, description="Decide and write down, and start nothing.")
