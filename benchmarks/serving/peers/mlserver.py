"""MLServer with a runtime of our own: in its own process, in a worker process (its default), and batching."""

import json
from collections.abc import Mapping

from peers.peer import Peer, Place
from wires import V2_JSON, V2_PACKED


def peer(name: str, says: str, workers: int, batching: Mapping[str, float]) -> Peer:
    def settings(place: Place) -> dict[str, str]:
        served = {
            "debug": False,
            "host": "127.0.0.1",
            "http_port": place.port,
            "grpc_port": place.spare[0],
            "metrics_port": place.spare[1],
            "parallel_workers": workers,
        }
        model = {"name": place.model.name, "implementation": "runtime.Runtime", **batching}
        return {"settings.json": json.dumps(served), "model-settings.json": json.dumps(model)}

    return Peer(
        name=name,
        says=says,
        environment="mlserver",
        requirements=("mlserver==1.7.1", "uvloop==0.21.0", "uvicorn==0.35.0", "pydantic==2.14.3"),
        sources={"graph.py": "graph.py.txt", "runtime.py": "mlserver_server.py.txt"},
        settings=settings,
        command=lambda place: place.program("mlserver", "start", "."),
        infer="/v2/models/{name}/infer",
        ready="/v2/models/{name}/ready",
        wires={"json": V2_JSON, "packed": V2_PACKED},
    )


REPAIR = "uvloop held to 0.21 and uvicorn below 0.36, without which its worker processes fail"
PEERS = (
    peer("MLServer, no workers", f"parallel_workers=0; {REPAIR}", 0, {}),
    peer("MLServer, one worker", f"parallel_workers=1, its default; {REPAIR}", 1, {}),
    peer(
        "MLServer, batching",
        f"parallel_workers=0, max_batch_size=64, max_batch_time=2 ms; {REPAIR}",
        0,
        {"max_batch_size": 64, "max_batch_time": 0.002},
    ),
)
