"""Plug-ins: one file, one constant, found by name and imported only when asked for."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Generic, TypeVar

from holdtrue.core.errors import Misuse, nearest

T = TypeVar("T")


@cache
def _outside(group: str) -> dict[str, EntryPoint]:
    """Find what other packages offer; the search reads every installed package, so it is done once."""
    return {point.name: point for point in entry_points(group=group)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog(Generic[T]):
    """All plug-ins of one kind: the modules of a package, and what other packages offer by entry point.

    A plug-in's name is its file's name. The file holds a
    constant `PLUGIN` of type `interface`.
    """

    kind: str
    package: str
    interface: type[T]

    @property
    def group(self) -> str:
        """The entry-point group through which other packages join, such as `holdtrue.learners`."""
        return f"holdtrue.{self.package.rsplit('.', 1)[-1]}"

    def names(self) -> tuple[str, ...]:
        own = {
            entry.name.removesuffix(".py")
            for entry in files(self.package).iterdir()
            if entry.name.endswith(".py") and not entry.name.startswith("_")
        }
        return tuple(sorted(own | set(_outside(self.group))))

    def get(self, name: str) -> T:
        """Import one plug-in; raises `Misuse` with the nearest known name when there is none."""
        if name not in self.names():
            raise Misuse(f"There is no {self.kind} named {name!r}{nearest(name, self.names())}")
        outside = _outside(self.group)
        module = outside[name].load() if name in outside else import_module(f"{self.package}.{name}")
        plugin = getattr(module, "PLUGIN", None)
        if not isinstance(plugin, self.interface):
            raise Misuse(f"The {self.kind} {name!r} has no constant PLUGIN of type {self.interface.__name__}.")
        return plugin
