"""LitServe: one process that answers HTTP and one that holds the model, as it always has them."""

from peers.peer import Peer
from wires import V2_JSON, V2_PACKED

PEERS = (
    Peer(
        name="LitServe",
        says="one server and one worker process, no access log",
        environment="litserve",
        requirements=(
            "litserve==0.2.19",
            "fastapi==0.165.0",
            "uvicorn==0.54.0",
            "uvloop==0.23.0",
            "httptools==0.9.0",
            "pydantic==2.14.3",
        ),
        sources={"graph.py": "graph.py.txt", "server.py": "litserve_server.py.txt"},
        command=lambda place: place.python("server.py"),
        infer="/predict",
        ready="/health",
        wires={"json": V2_JSON, "packed": V2_PACKED},
    ),
)
