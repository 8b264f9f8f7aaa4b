"""A contract as YAML for people: the reason stands beside each column, and edits are read back with all faults."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract
from holdtrue.data.contract_json import field_dict, from_dict, to_dict

WIDTH = 110
MOST_VALUES = 200_000  # a file of aliases to aliases grows without end
LIMITS = ("low", "high", "at_most_days")
TRUTHS = ("integer", "nullable", "unique", "personal")
LISTS = ("missing", "categories", "formats", "key")
HEAD = """\
# What every row must satisfy. Each column says what was found and why it is described so; change what is wrong.
# A breach is reported with its count and its first row, before anything is trained or predicted.
"""


def write_yaml(contract: Contract, notes: Mapping[str, str]) -> str:
    """Write the contract for a person: a comment above each column; `read_yaml` gives the same contract."""
    value = to_dict(contract)
    lines = [HEAD, "fields:"]
    for each in contract.fields:
        settings = {name: value for name, value in field_dict(each).items() if name != "name"}
        lines += [f"  # {line}" for line in textwrap.wrap(notes.get(each.name, ""), WIDTH - 4)]
        lines.append(textwrap.indent(_dump({each.name: settings}), "  "))
    lines += [_dump({name: value[name]}) for name in ("rules", "key", "freshness") if name in value]
    return "\n".join(lines) + "\n"


def _dump(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=None, sort_keys=False, allow_unicode=True, width=WIDTH)
    return text.rstrip("\n")


def read_yaml(text: str) -> Contract:
    """Read a contract that a person may have edited; raises `Misuse` with all faults."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise Misuse(
            "The contract is not YAML:", faults=[f"{place}{getattr(error, 'problem', None) or error}"]
        ) from None
    reader = _Nodes()
    value = reader.value(node, "")
    if reader.faults:
        raise Misuse("The contract is not right:", faults=reader.faults)
    return from_dict(value)


@dataclass(kw_only=True, slots=True)
class _Nodes:
    """YAML as plain values; a category `yes` or `1.10` stays as it is written, quoted or not."""

    faults: list[str] = field(default_factory=list[str])
    seen: int = 0

    def value(self, node: yaml.Node | None, name: str) -> object:
        self.seen += 1
        if self.seen > MOST_VALUES:
            raise Misuse(f"The contract unfolds to more than {MOST_VALUES} values.")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, name) for child in node.value]
        return None if node is None else _scalar(node, name)

    def mapping(self, node: yaml.MappingNode) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, child in node.value:
            name = str(key.value)
            if not isinstance(key, yaml.ScalarNode) or name in made:
                reason = f"{name!r} stands here twice" if name in made else "a name is a text"
                self.faults.append(f"line {key.start_mark.line + 1}: {reason}")
            made[name] = self.value(child, name)
        return made


def _scalar(node: yaml.Node, name: str) -> object:
    text = str(node.value)
    if node.tag.endswith(":null") and name not in LISTS:
        return None
    if name in LIMITS and re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text):
        return float(text)
    if name in TRUTHS and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    return text
