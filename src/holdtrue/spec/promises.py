"""The promises of a project file: one record for each kind."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from holdtrue.spec.quantity import days, share, size_bytes

Share = Annotated[float, BeforeValidator(share, json_schema_input_type=float | str)]
Days = Annotated[float, BeforeValidator(days, json_schema_input_type=float | str), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(size_bytes, json_schema_input_type=int | str), Field(gt=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Section(BaseModel):
    """A part of the project file: unknown keys are refused, and nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class Quality(Section):
    """A metric keeps a bound on the held-out rows, or on those of them where a column has a value."""

    metric: str = Field(description="Any metric of the task, such as roc_auc or rmse.")
    at_least: float | None = None
    at_most: float | None = None
    where: dict[str, str | float | bool] | None = Field(
        default=None, description="Only rows where each named column has this value."
    )
    required: bool = True

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("say exactly one of at_least and at_most; two bounds are two promises")
        return self


class Beats(Section):
    """The model is better than a baseline by a margin, compared on the same rows."""

    baseline: str = Field(description="A learner, or 'champion' for the release in service.")
    metric: str | None = Field(default=None, description="The task's own metric when left out.")
    by: Share | None = Field(
        default=None,
        description="The margin: `2%` of the baseline's value, or a number in the metric's unit. 0 when left out.",
    )
    relative: bool = False
    required: bool = True

    @model_validator(mode="before")
    @classmethod
    def _percent_is_relative(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("by"), str) and "%" in data["by"]:
            return {"relative": True, **data}
        return data


class Calibrated(Section):
    """Predicted probabilities are right within an error."""

    error_at_most: Share = Field(gt=0, lt=1)
    required: bool = True


class Fair(Section):
    """A metric differs between the groups of a column by a gap at most."""

    across: str = Field(description="The column whose groups are compared.")
    metric: str = "true_positive_rate"
    gap_at_most: Share = Field(gt=0, lt=1)
    minimum: int = Field(default=30, ge=10, description="A group with fewer rows that count is not enough to judge.")
    required: bool = True


class Robust(Section):
    """A metric loses little when the rows are disturbed."""

    to: Names = Field(min_length=1, description="noise, missing, shift.")
    metric: str | None = None
    drop_at_most: float = Field(gt=0)
    required: bool = True


class Fast(Section):
    """One prediction in this process takes at most so long, in so many of a hundred cases."""

    p99_ms: float | None = Field(default=None, gt=0)
    p50_ms: float | None = Field(default=None, gt=0)
    required: bool = True

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.p99_ms is None) == (self.p50_ms is None):
            raise ValueError("say exactly one of p99_ms and p50_ms")
        return self


class Small(Section):
    """The model file has at most so many bytes."""

    bytes_at_most: Bytes
    required: bool = True


class Complete(Section):
    """The rows keep their contract: at most this share of them breaks it."""

    breaches_at_most: Share = Field(default=0.0, ge=0, lt=1)
    required: bool = True


class Fresh(Section):
    """The newest row is at most so old on the day of the run."""

    age_at_most: Days
    column: str | None = Field(default=None, description="The time column of the project when left out.")
    required: bool = True


PromiseKind = Literal["quality", "beats", "calibrated", "fair", "robust", "fast", "small", "complete", "fresh"]
AnyPromise = Quality | Beats | Calibrated | Fair | Robust | Fast | Small | Complete | Fresh


class PromiseEntry(Section):
    """One line of the list of promises: its kind, and what it says."""

    quality: Quality | None = None
    beats: Beats | None = None
    calibrated: Calibrated | None = None
    fair: Fair | None = None
    robust: Robust | None = None
    fast: Fast | None = None
    small: Small | None = None
    complete: Complete | None = None
    fresh: Fresh | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len(self.model_fields_set) != 1 or self.said is None:
            raise ValueError(
                "each promise says exactly one kind, such as `- quality: {metric: roc_auc, at_least: 0.8}`"
            )
        return self

    @property
    def kind(self) -> PromiseKind:
        (name,) = self.model_fields_set
        return name  # pyright: ignore[reportReturnType]  # the fields are the kinds

    @property
    def said(self) -> AnyPromise | None:
        (name, *_) = self.model_fields_set
        return getattr(self, name)
