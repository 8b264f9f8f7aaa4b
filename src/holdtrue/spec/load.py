"""From the text of a project file to a `Project`, or to every fault in it at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from holdtrue.core.errors import Misuse, nearest
from holdtrue.spec.project import Project
from holdtrue.spec.tree import Path, Tree, overlay, read

FILE = "holdtrue.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A checked project, and where each of its settings stands."""

    project: Project
    where: Mapping[Path, str]

    def place(self, *path: str | int) -> str:
        """Say `file:line` of a setting, or of the nearest part that holds it."""
        return _place(path, self.where)


def load(files: Sequence[tuple[str, str]], *, environ: Mapping[str, str]) -> Loaded:
    """Read (name, text) pairs, each laid over the one before; raises `Misuse` with all faults."""
    tree = Tree(value={})
    for name, text in files:
        above = read(text, file=name, environ=environ)
        if above.value is None and above.faults:
            raise _refused(name, above.faults)
        tree = overlay(tree, above)
    names = " with ".join(name for name, _ in files)
    if not isinstance(tree.value, dict):
        raise _refused(
            names, [*tree.faults, f"{names}:1: a project file is a mapping of settings, such as `name: demo`"]
        )
    try:
        project = Project.model_validate(tree.value)
    except ValidationError as error:
        raise _refused(names, [*tree.faults, *(_fault(each, tree) for each in error.errors())]) from None
    if tree.faults:
        raise _refused(names, tree.faults)
    return Loaded(project=project, where=tree.where)


def _refused(names: str, faults: Sequence[str]) -> Misuse:
    faults = sorted(faults, key=_line)
    count = f"{len(faults)} place" + ("s" if len(faults) > 1 else "")
    return Misuse(
        f"{names} is not right in {count}:", faults=faults, do="The keys are in docs/reference/project-file.md."
    )


def _line(fault: str) -> tuple[str, int]:
    file, line, *_ = fault.split(":", 2)
    return file, int(line) if line.isdigit() else 0


def _place(path: Sequence[str | int], where: Mapping[Path, str]) -> str:
    for length in range(len(path), -1, -1):
        if tuple(path[:length]) in where:
            return where[tuple(path[:length])]
    return FILE


def _fault(error: ErrorDetails, tree: Tree) -> str:
    path = error["loc"]
    place, name = _place(path, tree.where), ".".join(str(part) for part in path)
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key {path[-1]!r}{_meant(path)}"
    if error["type"] == "missing":
        return f"{place}: {name} is missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    if error["type"] == "value_error":
        return f"{place}: {name + ': ' if name else ''}{message}"
    return f"{place}: {name} is {error['input']!r}: it {message}{_choice(error)}"


def _choice(error: ErrorDetails) -> str:
    if error["type"] != "literal_error" or not isinstance(error["input"], str):
        return ""
    known = [part.strip(" '") for part in str(error.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]
    found = nearest(error["input"], known)
    return found if "mean" in found else ""


def _meant(path: Sequence[str | int]) -> str:
    """Find the model that holds a path, and the name in it that was probably meant."""
    model: Any = Project
    for part in path[:-1]:
        if isinstance(part, int):
            continue
        found = model.model_fields.get(part)
        inner = _model_in(found.annotation) if found else None
        if inner is None:
            return ""
        model = inner
    return nearest(str(path[-1]), list(model.model_fields))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
