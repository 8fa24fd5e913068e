"""A network as ONNX, where rows are samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastxor.architecture import GELU_RANGE, LEAK, Architecture
from fastxor.exporting.as_json import metadata
from fastxor.views import Array

_OPSET, _FORMAT = 13, 8  # of 2020: what runs it need not be new

# One operator each. Those of the others ONNX Runtime has for float32 alone, and a number in them would be one.
_OPERATORS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "sin": "Sin", "identity": "Identity"}
_OPERATORS |= {"exponential": "Exp"}

# (1 + t) e**(t**2/2) (1 - Phi(t)) for t >= 0 as a polynomial of (t - 4) / (t + 4), where Phi is the normal distribution
# function: the fused core's, vmath.py, for float32, which is right to 1e-8.
_TAIL = (
    0.47205320650984467,
    -0.09670347022135291,
    0.013999639104174844,
    0.028600164051640592,
    -0.032197960981293315,
    0.01793771873431264,
    -0.005001371558721446,
    -0.0002913193824303818,
    0.0006913216255304828,
    -8.45022931686196e-05,
    -8.149395657310157e-05,
    1.2549784977755279e-05,
    7.799736746050614e-06,
)


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str) -> bytes:
    """The model, checked by ONNX itself."""
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise ImportError("'.onnx' needs onnx: pip install 'fastxor-nn[onnx]'") from error
    graph = _Graph(helper, parameters)
    before = "X"
    for number, layer in enumerate(network.layers, 1):
        Z = graph.node("Gemm", before, f"W{number}", f"b{number}", to=f"Z{number}", transB=1)
        before = "A" if number == len(network.layers) else f"A{number}"
        graph.activate(layer.activation, Z, before)
    dtype = helper.np_dtype_to_tensor_dtype(parameters["W1"].dtype)
    sides = [
        helper.make_tensor_value_info(name, dtype, ["samples", n])
        for name, n in (("X", network.sizes[0]), ("A", network.sizes[-1]))
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "network", sides[:1], sides[1:], [*graph.constants.values()]),
        producer_name="fastxor",
        ir_version=_FORMAT,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    helper.set_model_props(model, metadata(network))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self, helper: Any, parameters: Mapping[str, Array]) -> None:
        self.helper, self.dtype = helper, parameters["W1"].dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        for name, array in parameters.items():
            self.constant(name, array.ravel() if name[0] == "b" else array)

    def constant(self, name: str, values: Any, dtype: Any = None) -> str:
        """Its name, under which it is there once."""
        if name not in self.constants:
            array = np.array(values, dtype or self.dtype)
            kind = self.helper.np_dtype_to_tensor_dtype(array.dtype)
            self.constants[name] = self.helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
        return name

    def node(self, operator: str, *inputs: str | float, to: str | None = None, **attributes: Any) -> str:
        """A node with these inputs, some of which may be numbers; the name of its output."""
        to = to or f"{operator}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(f"{value:g}", value) for value in inputs]
        self.nodes.append(self.helper.make_node(operator, names, [to], name=to, **attributes))
        return to

    def activate(self, activation: str, Z: str, to: str) -> None:
        """A = activation(Z), of operators that there are for both dtypes."""
        node = self.node
        if activation in _OPERATORS:
            node(_OPERATORS[activation], Z, to=to)
        elif activation == "softmax":
            node("Softmax", Z, to=to, axis=1)
        elif activation == "leaky_relu":
            node("Max", Z, node("Mul", Z, LEAK), to=to)
        elif activation == "elu":
            node("Add", node("Relu", Z), node("Sub", node("Exp", node("Min", Z, 0.0)), 1.0), to=to)
        elif activation == "softplus":
            small = node("Exp", node("Neg", node("Abs", Z)))
            node("Add", node("Relu", Z), node("Log", node("Add", small, 1.0)), to=to)
        else:
            assert activation == "gelu"
            t = node("Min", node("Abs", Z), GELU_RANGE)  # beyond, the difference is 0
            node("Sub", node("Relu", Z), node("Mul", t, self._normal_tail(t)), to=to)

    def _normal_tail(self, t: str) -> str:
        """1 - Phi(t) for t >= 0; by ONNX's Erf where there is one."""
        node = self.node
        if self.dtype == np.float32:
            return node("Mul", node("Sub", 1.0, node("Erf", node("Mul", t, 0.5**0.5))), 0.5)
        u = node("Div", node("Sub", t, 4.0), node("Add", t, 4.0))
        axis = self.constant("last", [-1], np.int64)
        powers = node("Pow", node("Unsqueeze", u, axis), self.constant("powers", np.arange(len(_TAIL))))
        sums = node("Squeeze", node("MatMul", powers, self.constant("tail", [[c] for c in _TAIL])), axis)
        density = node("Exp", node("Mul", node("Mul", t, t), -0.5))
        return node("Div", node("Mul", sums, density), node("Add", t, 1.0))
