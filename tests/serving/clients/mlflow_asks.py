# pyright: basic, reportMissingImports=false
# The packages are those of .venv/clients, not ours.
"""Asks with MLflow's own client of scoring servers: `mlflow_asks.py URL GRPC ASKED`."""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> None:
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    url, _, file = sys.argv[1:4]
    columns = json.loads(Path(file).read_text())["columns"]
    where = urlsplit(url)
    client = ScoringServerClient(where.hostname, where.port)
    client.ping()
    print(client.invoke(pd.DataFrame(columns)).get_predictions().to_json(orient="records"))


if __name__ == "__main__":
    main()
