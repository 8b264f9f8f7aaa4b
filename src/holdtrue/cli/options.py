"""Options that many verbs have."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Option("--folder", "-C", help="The project folder.", show_default="this folder")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Person = Annotated[str, typer.Argument(help="As the requests name the person.")]
Profile = Annotated[str | None, typer.Option(help="Lay holdtrue.PROFILE.yaml over holdtrue.yaml.")]
Release = Annotated[
    str, typer.Argument(metavar="RELEASE", help="A release digest (or its beginning), an alias, or a bundle's folder.")
]
HERE = Path()
