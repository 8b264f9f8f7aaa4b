"""The ONNX operators our encoders and learners write, and the few a graph's head may need; others are not from us.

None of them holds a subgraph (no If, Loop or Scan), reads a file, draws random numbers, or makes much out of little
(no ConstantOfShape, Tile, Range, Resize or Pad). A test compares the list with what the exporters write.
"""

OPERATORS: dict[str, frozenset[str]] = {
    "": frozenset(
        {
            *("Abs", "Add", "And", "ArgMax", "ArgMin", "Cast", "Ceil", "Clip", "Concat", "Cos", "CumSum", "Div"),
            *("Equal", "Erf", "Exp", "Expand", "Floor", "Gather", "GatherElements", "Gemm", "Greater"),
            *("GreaterOrEqual", "Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min"),
            *("Mod", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin"),
            *("ReduceSum", "Relu", "Reshape", "Round", "Shape", "Sigmoid", "Sign", "Sin", "Slice", "Softmax"),
            *("Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "TopK", "Transpose", "Unsqueeze"),
            "Where",
        }
    ),
    "ai.onnx.ml": frozenset({"LabelEncoder", "TreeEnsembleRegressor"}),
}
