"""Typed columns become numbers inside the model graph, so training and serving cannot differ.

The path through this package:
    ports.py       what the inputs of a graph are called
    graph.py       a builder of ONNX graphs
    runtime.py     a graph made ready to run
    session.py     runs a graph over a table
    dates.py       a date becomes its parts
    categories.py  a name becomes a code, or a column of its own
    scaling.py     a number becomes fit for distances and weights
    encoder.py     all of it: columns to a matrix, fitted on training rows, written as operators
"""
