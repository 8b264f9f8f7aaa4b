"""Walks a project once in this process and prints the processor time of each stage; with --profile, where it goes.

python stages.py FOLDER             one JSON object: stage -> seconds
python stages.py FOLDER --profile   the 40 functions that take the most
"""

import cProfile
import json
import pstats
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path

START = time.process_time()  # what the interpreter and the imports above took is not Holdtrue's


def main() -> None:
    import holdtrue

    folder = Path(sys.argv[1])
    shutil.rmtree(folder / ".holdtrue", ignore_errors=True)
    marks: list[tuple[str, float]] = [("start", START)]

    def tell(stage: str, done: int | None = None, total: int | None = None) -> None:
        if marks[-1][0] != stage:
            marks.append((stage, time.process_time()))

    opened = holdtrue.open(str(folder))
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            opened.run(tell=tell)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(80)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    opened.run(tell=tell)
    marks.append(("end", time.process_time()))
    spent: dict[str, float] = {}
    for (name, begin), (_, end) in pairwise(marks):
        spent[name] = spent.get(name, 0.0) + end - begin
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
