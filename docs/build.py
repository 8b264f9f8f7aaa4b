"""Writes docs/reference/ from the code, or checks with --check that it is up to date and that no link is broken."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from holdtrue.cli.main import app
from holdtrue.core import errors
from holdtrue.data.contract import Field
from holdtrue.evaluation.metric import METRICS
from holdtrue.models.learner import LEARNERS
from holdtrue.monitoring.detector import DETECTORS
from holdtrue.spec import Project
from holdtrue.tasks import TASKS

DOCS = Path(__file__).parent
HEAD = "<!-- Written by docs/build.py from the code; do not edit. -->\n\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *(line(row) for row in rows)]) + "\n"


def sentence(module: object) -> str:
    return (getattr(module, "__doc__", None) or "").strip().split("\n\n")[0].replace("\n", " ")


def command_line() -> str:
    group: Any = typer.main.get_command(app)
    context = group.make_context("holdtrue", [], resilient_parsing=True)
    parts = ["# The command line\n"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        parts.append(f"## holdtrue {name}\n\n{command.help}\n\n{command.epilog or ''}\n")
        rows = [
            (
                f"`{' '.join(parameter.opts)}`"
                if parameter.param_type_name == "option"
                else f"`{parameter.name.upper()}`",
                getattr(parameter, "help", "") or "",
                "" if parameter.default in (None, False, [], ()) else f"`{parameter.default}`",
            )
            for parameter in command.params
            if parameter.name != "help"
        ]
        parts.append(table(("argument or option", "", "default"), rows))
    codes = [
        (0, "done; for `run`: every required promise is proven"),
        (1, "failed"),
        (2, "misused: the command or the project file"),
        (3, "a required promise is refuted"),
        (4, "a required promise is unproven, and none is refuted"),
        (5, "refused for safety: a bad signature, changed bytes, an unknown format"),
        (130, "stopped by Ctrl-C"),
    ]
    parts.append("## Exit codes\n\n" + table(("code", "means"), codes))
    return HEAD + "\n".join(parts)


def inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := inner_model(part))), None)


def settings(model: type[BaseModel], path: str, level: int) -> str:
    rows: list[tuple[str, str, str]] = []
    below: list[str] = []
    schema = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        part = inner_model(field.annotation)
        default = "required" if field.default is PydanticUndefined and field.default_factory is None else ""
        if not default and part is None and field.default not in (None, (), PydanticUndefined):
            default = f"`{json.dumps(field.default)}`"
        told = field.description or (sentence(part) if part else "")
        allowed = schema[name].get("enum") or next(
            (each["enum"] for each in schema[name].get("anyOf", []) if "enum" in each), None
        )
        rows.append((f"`{name}`", told + (f" One of: {', '.join(map(str, allowed))}." if allowed else ""), default))
        if part is not None:
            below.append(settings(part, f"{path}{name}.", level + 1))
    title = f"{'#' * level} {path.removesuffix('.') or 'Project file'}\n\n{sentence(model)}\n\n"
    return title + table(("key", "", "default"), rows) + "\n" + "\n".join(below)


def project_file() -> str:
    text = (
        "Every key of `holdtrue.yaml`. The schema for editors is [holdtrue.schema.json](holdtrue.schema.json). "
        "`${NAME:-default}` reads the environment. `holdtrue run --profile fast` lays `holdtrue.fast.yaml` over it. "
        "A share may be written `10%`, a size `10 MB`, an age `7d`.\n\n"
    )
    page = settings(Project, "", 1)
    first, rest = page.split("\n\n", 1)
    return HEAD + f"{first}\n\n{text}{rest}"


def plugins() -> str:
    parts = ["# Tasks, learners, metrics and detectors\n", "## Tasks\n"]
    tasks = [(name, TASKS.get(name)) for name in TASKS.names()]
    parts.append(
        table(
            ("task", "trivial baseline", "simple baseline", "picks by", "splits"),
            [(f"`{name}`", task.trivial, task.simple, task.metric, ", ".join(task.splits)) for name, task in tasks],
        )
    )
    parts.append(
        "## Learners\n\nAll settings of a learner are searched within these ranges; the default is tried first.\n"
    )
    for name in LEARNERS.names():
        learner = LEARNERS.get(name)
        rows = [
            (
                f"`{key}`",
                f"`{each.default}`",
                ", ".join(map(str, each.choices)) or f"{each.low} to {each.high}{', log' if each.log else ''}",
            )
            for key, each in learner.space.items()
        ]
        told = sentence(sys.modules.get(learner.fit.__module__))
        most = f" Learns from at most {learner.most_rows:,} rows." if learner.most_rows else ""
        parts.append(
            f"### {name}\n\n{told}\n\nTasks: {', '.join(sorted(learner.tasks))}. Columns are encoded for a "
            f"{learner.flavour} learner.{most} {learner.paper}\n\n"
            + (table(("setting", "default", "range"), rows) if rows else "")
        )
    rows = [
        (f"`{name}`", metric.title, "higher" if metric.higher_is_better else "lower", metric.needs, metric.paper)
        for name in METRICS.names()
        for metric in [METRICS.get(name)]
    ]
    parts.append("## Metrics\n\n" + table(("metric", "", "better", "needs", "interval"), rows))
    found = [(f"`{name}`", DETECTORS.get(name).title, DETECTORS.get(name).paper) for name in DETECTORS.names()]
    parts.append("## Detectors of a change in a stream\n\n" + table(("detector", "", "source"), found))
    return HEAD + "\n".join(parts)


def contract_page() -> str:
    text = (
        "What `contract.yaml` may say of a column, under `fields:` by the name of the column. Beside it stand `rules:` "
        "(a list of `{name, text}`), `key:` and `freshness: {column, at_most_days}`. "
        "See [bring your own data](../howto/data.md).\n\n"
    )
    told = dict(re.findall(r"^ {8}([a-z_, ]+): (.+(?:\n {12}.+)*)", Field.__doc__ or "", flags=re.MULTILINE))
    meaning = {name: " ".join(words.split()) for names, words in told.items() for name in names.split(", ")}
    rows = [
        (f"`{each.name}`", meaning.get(each.name, ""), "required" if each.default is MISSING else f"`{each.default}`")
        for each in fields(Field)
        if each.name != "name"
    ]
    return HEAD + "# Contract\n\n" + text + table(("key", "", "default"), rows)


def errors_page() -> str:
    kinds = [errors.HoldtrueError, errors.Misuse, errors.DataFault, errors.Busy, errors.Refused]
    rows = [(f"`{kind.__name__}`", sentence(kind), kind.exit_code) for kind in kinds]
    return (
        HEAD
        + "# Errors\n\nThe Python API raises these; the command line prints them.\n\n"
        + table(("error", "means", "exit code"), rows)
    )


def schema() -> str:
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Holdtrue project file"}
    return json.dumps(made | Project.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line,
    "reference/project-file.md": project_file,
    "reference/plug-ins.md": plugins,
    "reference/contract.md": contract_page,
    "reference/errors.md": errors_page,
    "reference/holdtrue.schema.json": schema,
}


def broken_links() -> list[str]:
    """Relative links in all Markdown of the repository that lead nowhere."""
    root = DOCS.parent
    pages = [
        *DOCS.rglob("*.md"),
        *root.glob("*.md"),
        *(root / "benchmarks").rglob("*.md"),
        *(root / "examples").rglob("*.md"),
    ]
    return [
        f"{page.relative_to(root)}: {link}"
        for page in pages
        if ".holdtrue" not in page.parts
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]


def main() -> None:
    made = {DOCS / name: make() for name, make in PAGES.items()}
    if "--check" not in sys.argv:
        for path, text in made.items():
            path.write_text(text)
        return
    stale = [
        str(path.relative_to(DOCS)) for path, text in made.items() if not path.exists() or path.read_text() != text
    ]
    broken = broken_links()
    for each in stale:
        print(f"docs/{each} is out of date; run: python docs/build.py")
    for each in broken:
        print(f"broken link in {each}")
    print(f"{len(made)} pages made from the code, {len(stale)} out of date, {len(broken)} broken links")
    sys.exit(bool(stale or broken))


if __name__ == "__main__":
    main()
