"""What the inputs of a graph are called."""

OUTPUTS = frozenset({"probabilities", "decision", "label", "value", "low", "high"})


def port(column: str) -> str:
    """Name the graph's input for a column: its own name, unless an output or an inner tensor is called so.

    Inner tensors begin with a slash. Two columns never get the same name.

    >>> [port(column) for column in ("age", "value", "value_", "/n0")]
    ['age', 'value_', 'value__', '_/n0']
    """
    if column.rstrip("_") in OUTPUTS:
        return f"{column}_"
    return f"_{column}" if column.lstrip("_").startswith("/") else column
