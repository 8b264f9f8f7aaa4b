"""Makes or makes again every release below a folder, in the environment this is run with; one JSON line each.

python walk.py make FOLDER         run each project
python walk.py reproduce FOLDER    train each project's champion again from its lineage
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import holdtrue
from holdtrue.core.errors import HoldtrueError
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.reproduce import reproduce


def main() -> None:
    act, root = sys.argv[1], Path(sys.argv[2])
    for folder in sorted(path.parent for path in root.rglob("holdtrue.yaml")):
        told: dict[str, object] = {"project": str(folder.relative_to(root))}
        try:
            opened = holdtrue.open(str(folder))
            if act == "make":
                done = opened.run()
                told |= {"digest": done.candidate, "verdict": done.verdict}
            else:
                made = reproduce(opened.keeper, "champion", now=datetime.now(UTC), tell=silent)
                told |= {"digest": made.made, "difference": made.difference}
        except HoldtrueError as error:
            told |= {"digest": None, "difference": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
