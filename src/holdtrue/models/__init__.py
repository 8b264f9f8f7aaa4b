"""Learners: each one file under learners/, fitted on encoded rows and written as ONNX operators."""
