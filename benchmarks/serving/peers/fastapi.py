"""FastAPI on uvicorn with uvloop and httptools: an endpoint of `async def`, and one of `def` in a pool of threads."""

from peers.peer import Peer, Place
from wires import V2_JSON, V2_PACKED


def command(place: Place) -> list[str]:
    words = ["--host", "127.0.0.1", "--port", str(place.port), "--workers", "1", "--no-access-log"]
    return place.python("-m", "uvicorn", "server:app", *words, "--loop", "uvloop", "--http", "httptools")


def peer(kind: str) -> Peer:
    return Peer(
        name=f"FastAPI, {'async def' if kind == 'async' else 'def'}",
        says="pydantic models in and out, uvicorn with uvloop and httptools, no access log",
        environment="fastapi",
        requirements=(
            "fastapi==0.165.0",
            "uvicorn==0.54.0",
            "uvloop==0.23.0",
            "httptools==0.9.0",
            "pydantic==2.14.3",
            "starlette==1.10.0",
        ),
        sources={"graph.py": "graph.py.txt", "server.py": "fastapi_server.py.txt"},
        command=command,
        infer=f"/{kind}",
        ready="/ready",
        wires={"json": V2_JSON, "packed": V2_PACKED},
    )


PEERS = (peer("async"), peer("def"))
