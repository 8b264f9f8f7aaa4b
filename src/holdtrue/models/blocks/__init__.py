"""What several learners share: links, distances, calibration, trees, each with its ONNX operators."""
