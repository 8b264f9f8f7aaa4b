"""The loop tried on the past: rows that happened are lived through again, by the real server and a virtual clock.

The path through this package:
    rows.py       the rows of the project in the order of time, and when each truth was known
    faults.py     what goes wrong on purpose
    scratch.py    a project and a store of its own
    server.py     the endpoint, in a process of its own
    live.py       requests, labels and turns of the loop, moment by moment
    answers.py    what was answered, with the loop and without it
    quality.py    how good that was, and the difference
    deeds.py      what the loop did, by the ledger
    picture.py    both curves, and the deeds under them
    simulate.py   all of it
"""

from holdtrue.pipeline.simulation.faults import Fault, read_fault
from holdtrue.pipeline.simulation.live import Turning
from holdtrue.pipeline.simulation.simulate import Settings, Simulated, Unreleased, simulate

__all__ = ["Fault", "Settings", "Simulated", "Turning", "Unreleased", "read_fault", "simulate"]
