"""A network as a Python module that needs numpy alone, and reads like the tutorial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import TextWrapper

from fastxor.architecture import GELU_RANGE, LEAK, Architecture
from fastxor.views import Array

# What to call on Z; and for what numpy does not have, the function.
_CALLS = {
    "tanh": "np.tanh({})",
    "relu": "np.maximum({}, 0)",
    "sin": "np.sin({})",
    "identity": "{}",
    "exponential": "np.exp({})",
}
_FUNCTIONS = {
    "sigmoid": """
@np.errstate(over="ignore")  # of e**-z, where the result is 0
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
""",
    "leaky_relu": f"""
def leaky_relu(z):
    return np.where(z > 0, z, {LEAK} * z)
""",
    "elu": """
def elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
""",
    "softplus": """
def softplus(z):
    return np.logaddexp(z, 0)
""",
    "gelu": f"""
def gelu(z):
    erfc = np.array([math.erfc(x) for x in (-z * math.sqrt(0.5)).ravel()], z.dtype)
    return np.maximum(z, -{GELU_RANGE:g}) * erfc.reshape(z.shape) / 2
""",
    "softmax": """
def softmax(Z):
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)
""",
}

# What `predict` makes of the outputs, and what it says of that.
_PREDICT = {
    "sigmoid": ("(A >= 0.5).astype(int)", "Labels (n_y, m): 1 where the output is at least 0.5, else 0."),
    "softmax": ("A.argmax(axis=0)", "Class numbers (m,), from 0: of the largest output."),
    "identity": ("A", "Values (n_y, m): the outputs."),
    "exponential": ("A", "Values (n_y, m): the outputs."),
}

_NUMBERS = TextWrapper(width=112, initial_indent=" " * 8, subsequent_indent=" " * 8, break_long_words=False)


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str) -> bytes:
    """The module's text."""
    sizes = "-".join(map(str, network.sizes))
    used = dict.fromkeys(layer.activation for layer in network.layers)
    value, meaning = _PREDICT[network.output]
    head = [
        f'"""A dense network, {sizes}, trained and written by fastxor. It needs numpy alone.\n',
        "X is (n_x, m): features down, samples across, or X.T of an array of rows.",
        '"""\n',
        *["import math\n"] * ("gelu" in used),
        "import numpy as np\n",
        *_arrays(parameters),
    ]
    forward = [
        f'def forward(X):\n    """The outputs ({network.sizes[-1]}, m) of samples X ({network.sizes[0]}, m)."""',
        *_layers(network),
    ]
    parts = [
        "\n".join(head),
        *[_FUNCTIONS[activation].strip() for activation in used if activation in _FUNCTIONS],
        "\n".join(forward),
        f'def predict(X):\n    """{meaning}"""\n    A = forward(X)\n    return {value}\n',
    ]
    return "\n\n\n".join(parts).encode()


def _arrays(parameters: Mapping[str, Array]) -> Iterator[str]:
    """An assignment for each, with the exact numbers, row by row."""
    for name, array in parameters.items():
        rows = [_row(row.tolist()) for row in array]
        dtype = ", dtype=np.float32" * (array.dtype == "float32")
        inside = ", ".join(rows)
        if len(inside) > 80:
            inside = "\n" + "".join(f"    {row},\n" for row in rows)
        yield f"{name} = np.array([{inside}]{dtype})"


def _row(numbers: list[float]) -> str:
    text = ", ".join(map(repr, numbers))
    return f"[{text}]" if len(text) <= 108 else f"[\n{_NUMBERS.fill(text)},\n    ]"


def _layers(network: Architecture) -> Iterator[str]:
    """The body of `forward`, a line for each layer."""
    yield f"    A0 = np.asarray(X)\n    if A0.ndim != 2 or len(A0) != {network.sizes[0]}:"
    yield f'        raise ValueError(f"X must have shape ({network.sizes[0]}, m), got {{A0.shape}}")'
    for number, layer in enumerate(network.layers, 1):
        call = _CALLS.get(layer.activation, layer.activation + "({})")
        yield f"    A{number} = " + call.format(f"W{number} @ A{number - 1} + b{number}")
    yield f"    return A{len(network.layers)}"
