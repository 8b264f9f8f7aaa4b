"""The project file: read whole, checked whole, every fault named with its line.

The path through this package:
    quantity.py   `2%`, `10 MB`, `7d`
    tree.py       YAML that remembers its lines
    promises.py   what can be promised
    project.py    every other setting
    load.py       text becomes a Project, or a list of faults
"""

from holdtrue.spec.load import Loaded, load
from holdtrue.spec.project import Project
from holdtrue.spec.promises import PromiseEntry

__all__ = ["Loaded", "Project", "PromiseEntry", "load"]
