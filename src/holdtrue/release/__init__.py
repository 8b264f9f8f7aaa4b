"""A run that kept its promises becomes an immutable, signed folder, and only a checked folder predicts.

The path through this package:
    lineage.py           what decided the model: data, settings, code, libraries; and the first difference of two
    interface.py         the typed columns a model takes and gives
    rows.py              the rows kept beside a model: a sample of the past, and golden rows to replay
    held.py              the bytes of a folder, read once and used from memory
    signing.py           who made it, and that no byte changed
    bundle.py            the manifest, the digest, and the folder written whole
    operators.py         the ONNX operators we write, and no others
    structure.py         the rules a graph keeps before anything runs it
    shapes.py            how large its tensors can become
    trees.py             tree ensembles whose every path ends
    trial.py             the graph run once, on golden rows and on extreme ones
    quarantine_child.py  structure, shapes and trial inside a process that may die
    quarantine.py        the order of the checks before a release may be used
    predictor.py         a checked release that answers raw rows
    card.py, bom.py      what people and auditors read
"""
