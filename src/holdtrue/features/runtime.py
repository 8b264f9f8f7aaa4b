"""A graph made ready to run: one thread, so the same bits every time; needs nothing but ONNX Runtime."""

import onnxruntime as ort


def session(model: bytes) -> ort.InferenceSession:
    """Load a graph to run on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never the runtime's own format
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
