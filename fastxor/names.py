"""The names that arguments take, as types: an editor completes them, a type checker refuses a misspelt one.

What a call is given is checked when it is made, whatever its type. To a checker, a name that is only known then, from
a file perhaps, is any string, and has to be declared:

>>> from typing import cast, get_args
>>> import fastxor as fx
>>> from fastxor.names import Activation
>>> name = "relu"
>>> fx.Network([2, 4, 1], hidden=cast(Activation, name)).hidden
('relu',)

`typing.get_args` lists the names, as for the choices of a command line:

>>> get_args(Activation)
('tanh', 'sigmoid', 'relu', 'leaky_relu', 'elu', 'softplus', 'gelu', 'sin', 'identity')
"""

from typing import Literal

# What else each of them needs is in CONTRIBUTING.md, "Add an activation".

#: What a hidden layer computes from its sums, ``Network(…, hidden=)``.
Activation = Literal["tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "sin", "identity"]

#: The activation of the last layer, ``Network(…, output=)``.
Output = Literal["sigmoid", "softmax", "identity", "exponential"]

#: What training makes small, ``Network(…, loss=)``.
Loss = Literal["binary_cross_entropy", "cross_entropy", "squared_error", "huber", "poisson"]

#: How first weights are drawn, ``initialization=``.
Initialization = Literal["he", "glorot", "lecun", "normal", "orthogonal"]

#: The core that does the work, ``backend=``.
BackendName = Literal["numpy", "numba"]
