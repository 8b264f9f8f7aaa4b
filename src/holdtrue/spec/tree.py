"""YAML as a tree of values that remember their line, with `${NAME:-default}` filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
MOST_NODES = 20_000  # a file of aliases to aliases grows without end
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
KNOWN_TAGS = PLAIN_TAGS | {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "timestamp", "merge", "value")}


@dataclass(kw_only=True, slots=True)
class Tree:
    """The values of a file; `where` gives the file and line of each."""

    value: object
    where: dict[Path, str] = field(default_factory=dict[Path, str])
    faults: list[str] = field(default_factory=list[str])


def read(text: str, *, file: str, environ: Mapping[str, str]) -> Tree:
    """Parse YAML of plain values; faults are collected, not raised."""
    tree = Tree(value=None)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        tree.faults.append(f"{file}:{line}: this is not YAML: {error.problem or error.context}")
        return tree
    except yaml.YAMLError as error:
        tree.faults.append(f"{file}: this is not YAML: {error}")
        return tree
    if node is None:
        tree.faults.append(f"{file}:1: the file is empty")
        return tree
    tree.value = _Reader(tree=tree, file=file, environ=environ).value(node, ())
    return tree


@dataclass(kw_only=True, slots=True)
class _Reader:
    tree: Tree
    file: str
    environ: Mapping[str, str]
    seen: int = 0

    def value(self, node: yaml.Node, path: Path) -> object:
        place = f"{self.file}:{node.start_mark.line + 1}"
        self.tree.where[path] = place
        self.seen += 1
        if self.seen > MOST_NODES:
            if self.seen == MOST_NODES + 1:
                self.tree.faults.append(f"{place}: the file unfolds to more than {MOST_NODES} values")
            return None
        if node.tag not in KNOWN_TAGS:
            self.tree.faults.append(f"{place}: the tag {node.tag} is not allowed; a project file holds plain values")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        made: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in made:
                self.tree.faults.append(
                    f"{self.file}:{key_node.start_mark.line + 1}: the key {key!r} stands here twice"
                )
            made[key] = self.value(value_node, (*path, key))
            self.tree.where[(*path, key)] = f"{self.file}:{key_node.start_mark.line + 1}"
        return made

    def _scalar(self, node: yaml.Node, place: str) -> object:
        text = VARIABLE.sub(lambda found: self._variable(found, place), str(node.value))
        # A value made from the environment gets its type from its text, quoted or not: "${TRIALS:-30}" is a number.
        plain = (isinstance(node, yaml.ScalarNode) and node.style is None) or text != node.value
        tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False)) if plain else node.tag
        if tag not in PLAIN_TAGS:
            return text  # a date stays as it is written
        return yaml.safe_load(text) if plain and text else (None if plain else text)

    def _variable(self, found: re.Match[str], place: str) -> str:
        name, default = found[1], found[2]
        if name in self.environ:
            return self.environ[name]
        if default is None:
            self.tree.faults.append(
                f"{place}: the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
            return ""
        return default


def overlay(base: Tree, above: Tree) -> Tree:
    """Lay one file over another: mappings are merged, everything else is replaced."""

    def merged(low: object, high: object) -> object:
        if isinstance(low, dict) and isinstance(high, dict):
            keys = [*low, *(key for key in high if key not in low)]
            return {key: merged(low.get(key, high.get(key)), high.get(key, low.get(key))) for key in keys}
        return high

    value = base.value if above.value is None else merged(base.value, above.value)
    return Tree(value=value, where=base.where | above.where, faults=base.faults + above.faults)
