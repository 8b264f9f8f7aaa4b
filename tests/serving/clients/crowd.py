# pyright: basic, reportMissingImports=false
# The packages are those of .venv/clients, not ours.
"""Asks with 64 of Triton's clients at once, half of them over gRPC, for all sizes: `crowd.py URL GRPC ASKED`."""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CLIENTS, EACH = 64, 8


def main() -> None:
    import tritonclient.grpc as by_grpc
    import tritonclient.http as by_http
    from triton import inputs, shares

    url, target, file = sys.argv[1:4]
    asked = json.loads(Path(file).read_text())
    columns, rows = asked["columns"], len(asked["columns"]["income"])

    def client(number: int) -> list[Any]:
        """Ask for some rows, again and again; gives where they began, how many they were, and their answers."""
        chance = random.Random(number)
        module: Any = by_grpc if number % 2 else by_http
        made: list[Any] = []
        with module.InferenceServerClient(target if number % 2 else url.removeprefix("http://")) as talk:
            for _ in range(EACH):
                count = chance.choice([1, 1, 1, 2, 7, 32, 100])
                start = chance.randrange(rows - count)
                part = {name: values[start : start + count] for name, values in columns.items()}
                missing = any(value is None for values in part.values() for value in values)
                # Triton's client writes a missing number as NaN, which is no JSON.
                how: Any = {} if number % 2 else {"binary_data": missing or number % 4 == 0}
                made.append([start, count, shares(talk.infer(asked["model"], inputs(module, part, **how)))])
        return made

    with ThreadPoolExecutor(CLIENTS) as pool:
        print(json.dumps([each for made in pool.map(client, range(CLIENTS)) for each in made]))


if __name__ == "__main__":
    main()
