"""fastxor: small neural networks, fast on a CPU.

The tutorial's eight functions (`sigmoid`, `initialize_parameters`, `forward_prop`, `calculate_cost`,
`backward_prop`, `update_parameters`, `model`, `predict`) over two cores, one in plain numpy and one in
fused Numba kernels, and a selector between them (`set_backend`, `use_backend`).
"""

from fastxor.backends import available_backends, get_backend, set_backend, use_backend, warmup
from fastxor.network import Network
from fastxor.optimizers import SGD, Adam
from fastxor.training import DivergenceWarning, Result, TrainingInterrupted, train
from fastxor.tutorial import (
    backward_prop,
    calculate_cost,
    forward_prop,
    initialize_parameters,
    model,
    predict,
    sigmoid,
    update_parameters,
)

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "DivergenceWarning",
    "Network",
    "Result",
    "TrainingInterrupted",
    "available_backends",
    "backward_prop",
    "calculate_cost",
    "forward_prop",
    "get_backend",
    "initialize_parameters",
    "model",
    "predict",
    "set_backend",
    "sigmoid",
    "train",
    "update_parameters",
    "use_backend",
    "warmup",
]
