"""How requests and answers are written: one file a protocol, pure functions of bytes.

The path through this package:
    v2.py       the Open Inference Protocol, JSON and binary tensors; tensors.py for the bytes
    v2_grpc.py  the same over gRPC
    rows.py     named rows in JSON, for people
    mlflow.py   what MLflow's and SageMaker's clients send
"""
