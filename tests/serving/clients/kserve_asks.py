# pyright: basic, reportMissingImports=false
# The packages are those of .venv/clients, not ours.
"""Asks with KServe's own clients, over HTTP and gRPC: `kserve_asks.py URL GRPC ASKED`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any


def request(columns: dict[str, Any], model: str, form: str) -> Any:
    """Write a request: `list` puts values into it, `raw` puts bytes beside it."""
    import numpy as np
    from kserve import InferInput, InferRequest

    made: list[Any] = []
    for name, values in columns.items():
        textual = any(isinstance(value, str) for value in values)
        plain = [value or "" for value in values] if textual else values
        one = InferInput(name, [len(values), 1], "BYTES" if textual else "FP64", plain if form == "list" else None)
        if form == "raw":
            kind: Any = np.object_ if textual else np.float64
            one.set_data_from_numpy(np.array(plain, dtype=kind).reshape(-1, 1), binary_data=True)
        made.append(one)
    return InferRequest(model_name=model, infer_inputs=made, request_id="r7")


def answer(response: Any) -> list[Any]:
    found = {output.name: output for output in response.outputs}
    shares = found["probabilities"].as_numpy().tolist()
    labels = [each.decode() if isinstance(each, bytes) else each for each in found["label"].as_numpy().ravel().tolist()]
    return [response.id, shares, labels]


async def ask(url: str, target: str, asked: dict[str, Any]) -> dict[str, Any]:
    from kserve import InferenceGRPCClient, InferenceRESTClient, RESTConfig

    model, columns = asked["model"], asked["columns"]
    told: dict[str, Any] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as rest:
        told["health"] = [
            await rest.is_server_live(url), await rest.is_server_ready(url), await rest.is_model_ready(url, model),
        ]  # fmt: skip
        for form in ("list", "raw"):
            told[f"rest {form}"] = answer(await rest.infer(url, request(columns, model, form), model_name=model))
        try:
            await rest.infer(url, request(columns, model, "list"), model_name="other")
        except Exception as error:
            told["rest error"] = str(error)
    async with InferenceGRPCClient(target, timeout=20) as talk:
        told["health"] += [
            await talk.is_server_live(), await talk.is_server_ready(), await talk.is_model_ready(model),
        ]  # fmt: skip
        for form in ("list", "raw"):
            told[f"grpc {form}"] = answer(await talk.infer(request(columns, model, form)))
        try:
            await talk.infer(request(columns, "other", "list"))
        except Exception as error:
            told["grpc error"] = str(error)
    return told


def main() -> None:
    url, target, file = sys.argv[1:4]
    print(json.dumps(asyncio.run(ask(url, target, json.loads(Path(file).read_text())))))


if __name__ == "__main__":
    main()
