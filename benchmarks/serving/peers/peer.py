"""What the harness must know of a server: how it is installed, started and asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wires import V2_JSON, Wire

from models import MODELS, Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one server runs, once.

    Attributes:
        folder: its own, with its sources written into it.
        programs: the `bin` folder of its environment.
        port: the one that answers predictions; the `spare` ones are free too.
    """

    model: Model
    folder: Path
    programs: Path
    port: int
    spare: tuple[int, ...]

    def python(self, *words: str) -> list[str]:
        return [str(self.programs / "python"), *words]

    def program(self, name: str, *words: str) -> list[str]:
        """Run an installed script by its interpreter, whatever folder it was installed from."""
        return self.python(str(self.programs / name), *words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """One server.

    Attributes:
        name: as the result calls it.
        says: what it is, and what it needed to run, for the page.
        environment: the folder of its packages; None for those of this checkout.
        requirements: what is installed there, pinned.
        sources: the file to write in its folder, and which text of this folder it is.
        settings: further files, made for the place.
        first: commands to run before a start.
        command: what starts the server, in the foreground.
        where: the folder it is started in.
        environ: added to the variables.
        infer: the path of predictions; `{name}` is the model's.
        ready: a path that gives 200 once the server can answer; None where only a prediction tells.
        wires: how it is asked, by the name of the cell: "json" is its own first form.
        models: which graphs it can serve.
        start_s: how long a start may take.
    """

    name: str
    says: str
    environment: str | None
    requirements: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Callable[[Place], Mapping[str, str]] = lambda place: {}
    first: Callable[[Place], list[list[str]]] = lambda place: []
    command: Callable[[Place], list[str]]
    where: Callable[[Place], Path] = lambda place: place.folder
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    infer: str
    ready: str | None
    wires: Mapping[str, Wire] = field(default_factory=lambda: {"json": V2_JSON})
    models: tuple[str, ...] = MODELS
    start_s: float = 120.0
