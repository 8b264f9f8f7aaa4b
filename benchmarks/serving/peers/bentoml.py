"""BentoML: a service of one worker."""

from peers.peer import Peer, Place
from wires import V2_JSON, V2_PACKED


def command(place: Place) -> list[str]:
    return place.program("bentoml", "serve", "server:Served", "--host", "127.0.0.1", "--port", str(place.port))


PEERS = (
    Peer(
        name="BentoML",
        says="one worker, a plain method, metrics and access log off",
        environment="bentoml",
        requirements=("bentoml==1.4.39", "uvicorn==0.54.0", "starlette==1.10.0", "pydantic==2.14.3"),
        sources={"graph.py": "graph.py.txt", "server.py": "bentoml_server.py.txt"},
        command=command,
        environ={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "home"},
        infer="/infer",
        ready="/readyz",
        wires={"json": V2_JSON, "packed": V2_PACKED},
    ),
)
