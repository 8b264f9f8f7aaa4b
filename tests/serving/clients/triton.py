# pyright: basic, reportMissingImports=false
# The packages are those of .venv/clients, not ours.
"""Asks with Triton's own clients, over HTTP and gRPC: `triton.py URL GRPC ASKED`, where ASKED is a file of columns."""

import json
import sys
from pathlib import Path
from typing import Any

ONES = {"FP": 1.0, "IN": 1, "UI": 1, "BO": True, "BF": 1.0, "BY": b"1"}
DATATYPES = (
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BF16",
    "BYTES",
)  # fmt: skip


def inputs(module: Any, columns: dict[str, Any], **how: Any) -> list[Any]:
    import numpy as np

    made: list[Any] = []
    for name, values in columns.items():
        textual = any(isinstance(value, str) for value in values)
        if textual:
            array = np.array([(value or "").encode() for value in values], dtype=object).reshape(-1, 1)
        else:
            array = np.array([float("nan") if value is None else value for value in values], dtype=np.float64)
            array = array.reshape(-1, 1)
        one = module.InferInput(name, list(array.shape), "BYTES" if textual else "FP64")
        one.set_data_from_numpy(array, **how)
        made.append(one)
    return made


def retyped(module: Any, columns: dict[str, Any], datatype: str, **how: Any) -> list[Any]:
    """Give the same request with ones of another type in the column `income`."""
    import numpy as np
    from tritonclient.utils import triton_to_np_dtype

    rows = len(columns["income"])
    made = [each for each in inputs(module, columns, **how) if each.name() != "income"]
    one = module.InferInput("income", [rows, 1], datatype)
    array = np.full((rows, 1), ONES[datatype[:2]], dtype=triton_to_np_dtype(datatype))
    one.set_data_from_numpy(array, **how)
    return [*made, one]


def shares(result: Any) -> Any:
    return result.as_numpy("probabilities").tolist()


def main() -> None:
    import tritonclient.grpc as by_grpc
    import tritonclient.http as by_http
    from tritonclient.utils import InferenceServerException

    url, target, file = sys.argv[1:4]
    asked = json.loads(Path(file).read_text())
    model, columns = asked["model"], asked["columns"]
    told: dict[str, Any] = {}
    with by_http.InferenceServerClient(url.removeprefix("http://")) as http:
        told["http"] = {
            "health": [http.is_server_live(), http.is_server_ready(), http.is_model_ready(model)],
            "about": [http.get_server_metadata()["name"], http.get_model_metadata(model)["inputs"]],
            "json": shares(http.infer(model, inputs(by_http, columns, binary_data=False))),
            "binary": shares(http.infer(model, inputs(by_http, columns, binary_data=True))),
            "squeezed": shares(
                http.infer(model, inputs(by_http, columns, binary_data=True), request_compression_algorithm="gzip")
            ),
        }
        chosen = [by_http.InferRequestedOutput("probabilities", binary_data=False)]
        result = http.infer(model, inputs(by_http, columns, binary_data=True), outputs=chosen, request_id="r7")
        told["http"]["chosen"] = [
            [each["name"] for each in result.get_response()["outputs"]],
            result.get_response()["id"],
        ]
        told["http"]["types"] = {
            datatype: shares(http.infer(model, retyped(by_http, columns, datatype, binary_data=True)))
            for datatype in DATATYPES
        }
        told["http"]["label"] = (
            http.infer(model, inputs(by_http, columns)).as_numpy("label").ravel().astype(str).tolist()
        )
        try:
            http.infer("other", inputs(by_http, columns))
        except InferenceServerException as error:
            told["http"]["error"] = [error.status(), error.message()]
    with by_grpc.InferenceServerClient(target) as talk:
        result = talk.infer(model, inputs(by_grpc, columns), request_id="r7")
        told["grpc"] = {
            "health": [talk.is_server_live(), talk.is_server_ready(), talk.is_model_ready(model)],
            "about": [talk.get_server_metadata().name, talk.get_model_metadata(model, as_json=True)["inputs"]],
            "index": talk.get_model_repository_index(as_json=True)["models"],
            "raw": shares(result),
            "id": result.get_response().id,
            "types": {
                datatype: shares(talk.infer(model, retyped(by_grpc, columns, datatype))) for datatype in DATATYPES
            },
            "label": [text.decode() for text in result.as_numpy("label").ravel()],
            "chosen": [
                each.name
                for each in talk.infer(
                    model,
                    inputs(by_grpc, columns),
                    outputs=[by_grpc.InferRequestedOutput("label"), by_grpc.InferRequestedOutput("probabilities")],
                    compression_algorithm="gzip",
                )
                .get_response()
                .outputs
            ],
        }
        try:
            talk.infer("other", inputs(by_grpc, columns))
        except InferenceServerException as error:
            told["grpc"]["error"] = [error.status(), error.message()]
        taken: list[Any] = []
        talk.start_stream(lambda result, error: taken.append(str(error) if error else shares(result)))
        for name in (model, "other", model):
            talk.async_stream_infer(name, inputs(by_grpc, columns))
        talk.stop_stream()
        told["grpc"]["stream"] = taken
    print(json.dumps(told))


if __name__ == "__main__":
    main()
