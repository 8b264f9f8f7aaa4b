"""Ray Serve: one replica behind its proxy, on a Ray of its own."""

from peers.peer import Peer
from wires import V2_JSON, V2_PACKED

PEERS = (
    Peer(
        name="Ray Serve",
        says="one proxy and one replica of at most 100 requests at once, no dashboard, no access log; "
        "the processes of Ray itself count as its own",
        environment="ray",
        requirements=("ray[serve]==2.60.0", "uvicorn==0.54.0", "starlette==1.10.0", "pydantic==2.14.3"),
        sources={"graph.py": "graph.py.txt", "server.py": "ray_server.py.txt"},
        command=lambda place: place.python("server.py"),
        environ={"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"},
        infer="/",
        ready=None,
        wires={"json": V2_JSON, "packed": V2_PACKED},
    ),
)
