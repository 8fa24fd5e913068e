"""A network as a `torch.nn.Sequential`, and which of torch's modules is which activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastxor.architecture import LEAK, Architecture
from fastxor.views import Array

# The class and its settings. From threshold on, torch's Softplus is z itself: at 40 that is so to the last bit.
MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": LEAK}),
    "elu": ("ELU", {"alpha": 1.0}),
    "softplus": ("Softplus", {"beta": 1.0, "threshold": 40.0}),
    "gelu": ("GELU", {"approximate": "none"}),
    "sin": ("Sin", {}),  # below, as the next one: torch has none
    "exponential": ("Exp", {}),
    "identity": ("Identity", {}),
    "softmax": ("Softmax", {"dim": -1}),
}


def library() -> Any:
    """torch, which is large, and imported when it is asked for."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("this needs PyTorch: pip install 'fastxor-nn[torch]'") from error
    return torch


def sequential(network: Architecture, parameters: Mapping[str, Array]) -> Any:
    """Linear modules with copies of the parameters, and activations between them and at the end."""
    torch = library()
    modules = []
    for number, layer in enumerate(network.layers, 1):
        W, b = (torch.tensor(parameters[f"{kind}{number}"]) for kind in "Wb")
        linear = torch.nn.utils.skip_init(torch.nn.Linear, layer.n_in, layer.n_out)  # which draws no random numbers
        linear.weight, linear.bias = torch.nn.Parameter(W), torch.nn.Parameter(b.ravel())
        modules.append(linear)
        if layer.activation != "identity":
            modules.append(_module(torch, layer.activation))
    return torch.nn.Sequential(*modules)


def _module(torch: Any, activation: str) -> Any:
    kind, settings = MODULES[activation]
    return (_ours(kind) if kind in OURS else getattr(torch.nn, kind))(**settings)


# Classes of modules that torch has not, and its functions.
OURS = {"Sin": "sin", "Exp": "exp"}


def _ours(name: str) -> Any:
    """The one class of that name: what is pickled must be found again."""
    return globals().get(name) or __getattr__(name)


def __getattr__(name: str) -> Any:
    """A class of `OURS`, made when it is first asked for, by a pickle for example."""
    if name not in OURS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    torch = library()

    def forward(self: Any, input: Any) -> Any:
        return getattr(torch, OURS[name])(input)

    made = globals()[name] = type(name, (torch.nn.Module,), {"__module__": __name__, "forward": forward})
    return made
