"""`mlflow models serve`: a pyfunc, made from code, around the graph."""

from peers.peer import Peer, Place
from wires import MLFLOW_JSON


def command(place: Place) -> list[str]:
    words = ["-m", "saved", "--env-manager", "local", "-h", "127.0.0.1", "-p", str(place.port), "--workers", "1"]
    return place.program("mlflow", "models", "serve", *words)


PEERS = (
    Peer(
        name="mlflow models serve",
        says="a pyfunc model from code, one worker; asked by a split table, its own protocol",
        environment="mlflow",
        requirements=("mlflow==3.17.2", "fastapi==0.165.0", "uvicorn==0.54.0", "pydantic==2.14.3"),
        sources={"graph.py": "graph.py.txt", "served.py": "mlflow_server.py.txt", "save.py": "mlflow_save.py.txt"},
        first=lambda place: [place.python("save.py")],
        command=command,
        environ={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        infer="/invocations",
        ready="/ping",
        wires={"json": MLFLOW_JSON},
    ),
)
