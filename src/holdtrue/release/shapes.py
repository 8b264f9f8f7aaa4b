"""How large the tensors of a graph can become: in step with the rows, and within bounds, whatever the rows hold.

A few operators turn a small file into a great tensor: an Expand to ten billion zeros, a Concat that doubles
forty times. All shapes are worked out, without running anything, for two numbers of rows. A size that cannot be worked
out depends on data and is refused; one that grows faster than the rows is refused; the rest has a limit.
"""

from math import prod

from onnx import ModelProto, shape_inference

ROWS = 1_009  # a prime, so that no other size is a multiple of it by chance
MOST_ELEMENTS_PER_ROW = 1 << 20
MOST_ELEMENTS_FIXED = 1 << 27


def measure(model: ModelProto) -> tuple[dict[str, int], list[str]]:
    """Give the number of elements of every tensor for `ROWS` rows, and the tensors that cannot be bounded."""
    few, fault = _sizes(model, ROWS)
    if fault:
        return {}, [fault]
    many, fault = _sizes(model, 2 * ROWS)
    if fault:
        return {}, [fault]
    made = [name for node in model.graph.node for name in node.output if name]
    found: list[str] = []
    for name in made:
        small, large = few.get(name), many.get(name)
        if small is None or large is None:
            found.append(f"the size of {name[:100]!r} depends on data, so it has no bound")
        elif large > 2 * small:
            found.append(f"{name[:100]!r} grows faster than the rows")
        elif small > (MOST_ELEMENTS_FIXED if large == small else MOST_ELEMENTS_PER_ROW * ROWS):
            found.append(f"{name[:100]!r} has {small:,} elements for {ROWS:,} rows, over the limit")
    return few, found[:20]


def _sizes(model: ModelProto, rows: int) -> tuple[dict[str, int], str | None]:
    """Work out the number of elements of every tensor for a number of rows; or say why that fails."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # what the file claims about its own shapes is not evidence
    for side in (copy.graph.input, copy.graph.output):
        for port in side:
            sizes = port.type.tensor_type.shape.dim
            if sizes and not sizes[0].HasField("dim_value"):
                sizes[0].ClearField("dim_param")
                sizes[0].dim_value = rows
    try:
        known = shape_inference.infer_shapes(copy, check_type=True, strict_mode=True, data_prop=True).graph
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return {}, f"the shapes do not fit together: {str(error).strip().splitlines()[0][:200]}"
    made: dict[str, int] = {}
    for entry in (*known.input, *known.value_info, *known.output):
        kind = entry.type.tensor_type
        if kind.HasField("shape") and all(size.HasField("dim_value") for size in kind.shape.dim):
            sizes = [size.dim_value for size in kind.shape.dim]
            if all(size >= 0 for size in sizes):
                made[entry.name] = prod(sizes)
    return made, None
