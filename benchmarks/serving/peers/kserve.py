"""KServe's Python server, with JSON and with binary tensors."""

from peers.peer import Peer
from wires import V2_BINARY, V2_JSON, V2_PACKED

PEERS = (
    Peer(
        name="KServe Python",
        says="one worker, no gRPC; bound to 127.0.0.1 by a wrapper, as it has no setting for it",
        environment="kserve",
        requirements=("kserve==0.21.0", "uvicorn==0.54.0", "uvloop==0.23.0", "fastapi==0.165.0", "pydantic==2.14.3"),
        sources={"graph.py": "graph.py.txt", "server.py": "kserve_server.py.txt"},
        command=lambda place: place.python("server.py"),
        infer="/v2/models/{name}/infer",
        ready="/v2/models/{name}/ready",
        wires={"json": V2_JSON, "binary": V2_BINARY, "packed": V2_PACKED},
    ),
)
