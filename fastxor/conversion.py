"""Dense networks of other libraries, taken over with their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastxor import validation
from fastxor.architecture import LEAK
from fastxor.names import Loss
from fastxor.network import ACTIVATIONS, LOSSES, OUTPUTS, Network
from fastxor.trained import Trained
from fastxor.views import Array

# What scikit-learn calls otherwise.
_SKLEARN = {"logistic": "sigmoid", "exp": "exponential"}

# What a module must have been made with to be the activation: settings, and whether their values will do.
_SETTINGS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "LeakyReLU": {"negative_slope": lambda slope: slope == LEAK},
    "ELU": {"alpha": lambda alpha: alpha == 1},
    "Softplus": {"beta": lambda beta: beta == 1, "threshold": lambda z: z >= 20},  # from which on it is z itself
    "GELU": {"approximate": lambda kind: kind == "none"},
    "Softmax": {"dim": lambda dim: dim in (1, -1, None)},
}

# Losses for which torch, too, has a form that takes what is before the output.
_OF_LOGITS = ("cross_entropy", "binary_cross_entropy", "poisson")


def from_sklearn(mlp: Any) -> Trained:
    """The network and the parameters of a fitted `MLPClassifier` or `MLPRegressor` of scikit-learn.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Fitted, for two classes, several or several labels, or for numbers. Nothing of it is changed or shared.

    Returns
    -------
    Trained
        ``forward(X.T).T`` is what ``predict_proba(X)`` is, for two classes its second column, or ``predict(X)`` of the
        regressor; for several classes ``mlp.classes_[run.predict(X.T)]`` is ``mlp.predict(X)``. To train it further,
        ``fx.train(run.network, X.T, Y, parameters=run.parameters)``.

    Raises
    ------
    TypeError
        If `mlp` is something else.
    ValueError
        If it is not fitted, or has an activation that there is none for.

    Examples
    --------
    >>> import fastxor as fx
    >>> from sklearn.neural_network import MLPRegressor
    >>> mlp = MLPRegressor(hidden_layer_sizes=5, solver="lbfgs", random_state=0)
    >>> mlp = mlp.fit([[0.0], [1.0]], [0.0, 1.0])
    >>> run = fx.from_sklearn(mlp)
    >>> run
    Trained(1-5-1 network)
    >>> bool(abs(run.forward([[1.5]])[0, 0] - mlp.predict([[1.5]])[0]) < 1e-12)
    True
    """
    if not all(hasattr(mlp, name) for name in ("hidden_layer_sizes", "activation", "fit")):
        hint = ""
        if hasattr(mlp, "best_estimator_"):
            hint = "; pass its best_estimator_"
        elif hasattr(mlp, "steps"):
            hint = "; pass its last step, and then X as the steps before make it"
        raise TypeError(f"mlp must be scikit-learn's MLPClassifier or MLPRegressor, got {type(mlp).__name__}{hint}")
    if not all(hasattr(mlp, name) for name in ("coefs_", "intercepts_", "out_activation_")):
        raise ValueError("mlp is not fitted: call its fit first")
    output = _SKLEARN.get(mlp.out_activation_, mlp.out_activation_)
    each = [mlp.activation] if isinstance(mlp.activation, str) else mlp.activation  # as fastxor.sklearn may have it
    hidden = [_SKLEARN.get(name, name) for name in each]
    if not set(hidden) <= set(ACTIVATIONS):
        raise ValueError(f"mlp has the activation {mlp.activation!r}, and there are {', '.join(ACTIVATIONS)}")
    if output not in OUTPUTS:
        raise ValueError(f"mlp has the output {mlp.out_activation_!r}, and there are {', '.join(OUTPUTS)}")
    sizes = [len(mlp.coefs_[0]), *(W.shape[1] for W in mlp.coefs_)]
    arrays = [(W.T, b) for W, b in zip(mlp.coefs_, mlp.intercepts_, strict=True)]
    names: Any = hidden[0] if len(hidden) == 1 else hidden
    return _trained(Network(sizes, names, output), arrays)


def from_torch(model: Any, *, loss: Loss | None = None) -> Trained:
    """The network and the parameters of a `torch.nn.Sequential` of Linear modules and activations.

    Parameters
    ----------
    model : torch.nn.Sequential
        Linear modules, each but the last with an activation or none behind it: Tanh, Sigmoid, ReLU, LeakyReLU(0.01),
        ELU, Softplus, GELU, Identity, or what `Network.to_torch` makes of "sin". The last may be followed by Sigmoid or
        Softmax. Sequentials in it are taken apart, Flatten and, after ``model.eval()``, Dropout are left out. Nothing
        of it is changed or shared.
    loss : str, optional
        Of the network, see `Network`; default: what goes with its output, "squared_error" where nothing follows the
        last Linear. Of such a model, "cross_entropy", "binary_cross_entropy" and "poisson" say that its outputs are
        logits, as torch's CrossEntropyLoss, BCEWithLogitsLoss and PoissonNLLLoss want them: the network then has the
        softmax, the sigmoid or the exponential that is missing, and its outputs are probabilities, or means.

    Returns
    -------
    Trained
        ``forward(X.T).T`` is ``model(X)`` for X (m, n_x), up to that: rows are samples in torch.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    ValueError
        If there is something in it that a `Network` has not; the message says where and what.
    ImportError
        If there is no torch.

    Examples
    --------
    ``model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))`` for three classes, trained with
    CrossEntropyLoss, becomes ``fx.from_torch(model, loss="cross_entropy")``.
    """
    from fastxor.exporting.to_torch import MODULES, library  # which most programs never need

    nn = library().nn
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Sequential, got {type(model).__name__}")
    if loss is not None:
        loss = validation.choice("loss", loss, LOSSES)
    linears, activations = _chain(nn, model)
    output = activations[-1]
    if output == "identity" and loss in _OF_LOGITS:
        output = LOSSES[loss][0]
    if output not in OUTPUTS:
        raise ValueError(
            f"model ends in {MODULES[output][0]}, and an output is Linear, alone or with Sigmoid or Softmax"
        )
    if "softmax" in activations[:-1]:
        raise ValueError("model has a Softmax before its last Linear, which only an output can have")
    sizes = [linears[0].in_features, *(linear.out_features for linear in linears)]
    network = Network(sizes, activations[:-1], output, loss)
    return _trained(network, [(_array(linear.weight), _array(linear.bias)) for linear in linears])


def _chain(nn: Any, model: Any) -> tuple[list[Any], list[Any]]:
    """The Linear modules, and the name of the activation behind each."""
    linears: list[Any] = []
    activations: list[str] = []
    for place, module in _modules(nn, model, "model"):
        if _is(nn.Linear, module):
            _check_linear(place, module, linears)
            _check_hooks(place, module)
            linears.append(module)
            activations.append("identity")
            continue
        name = _activation(nn, place, module)
        _check_hooks(place, module)
        if name == "identity":
            continue
        if not linears:
            raise ValueError(f"{place} is {module}, and a network begins with Linear")
        if activations[-1] != "identity":
            raise ValueError(f"{place} is {module}, a second activation behind one Linear")
        activations[-1] = name
    if not linears:
        raise ValueError("model has no Linear")
    return linears, activations


def _modules(nn: Any, model: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Those of a Sequential, also of Sequentials in it, each with the words for where it is."""
    if not _is(nn.Sequential, model):
        yield place, model
        return
    _check_hooks(place, model)
    for number, module in enumerate(model):
        yield from _modules(nn, module, f"{place}[{number}]")


def _is(kind: Any, module: Any) -> bool:
    """Whether the module does what that class does: a class derived from it, or one changed, may do something else."""
    return isinstance(module, kind) and type(module).forward is kind.forward and "forward" not in vars(module)


def _check_hooks(place: str, module: Any) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{place} has hooks, which may change what it does: remove them first")


def _check_linear(place: str, linear: Any, before: Sequence[Any]) -> None:
    for parameter in (linear.weight, linear.bias):
        if parameter is None:  # as a bias may be
            continue
        dtype = str(parameter.dtype).removeprefix("torch.")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"{place} has parameters of {dtype}, and there are float32 and float64: model.float()")
        if parameter.is_meta:
            raise ValueError(f"{place} has parameters on the device 'meta', which are no numbers")
    if type(linear).__name__ == "LazyLinear":
        raise ValueError(f"{place} is {linear}, which has no parameters before it has been called")
    if before and before[-1].out_features != linear.in_features:
        raise ValueError(f"{place} is {linear}, behind {before[-1].out_features} outputs")


def _activation(nn: Any, place: str, module: Any) -> str:
    """The name of it, "identity" for what changes nothing."""
    from fastxor.exporting.to_torch import MODULES, OURS
    from fastxor.exporting.to_torch import __name__ as home

    for activation, (kind, _made_with) in MODULES.items():
        if kind in OURS:
            found = type(module).__name__ == kind and type(module).__module__ == home
        else:
            found = _is(getattr(nn, kind), module)
        if not found:
            continue
        for setting, will_do in _SETTINGS.get(kind, {}).items():
            if not will_do(getattr(module, setting)):
                raise ValueError(f"{place} is {module}, and there is no {activation!r} with that {setting}")
        return activation
    hint = ""
    if _is(nn.Dropout, module) or _is(nn.AlphaDropout, module):
        if not module.training or module.p == 0:
            return "identity"
        hint = "; it does nothing after model.eval()"
    elif _is(nn.Flatten, module) and module.start_dim == 1:  # of samples that are rows
        return "identity"
    elif "forward" in vars(module):
        hint = "; its forward has been replaced"
    known = [kind for kind, _made_with in MODULES.values()]
    raise ValueError(f"{place} is {module}, and a network has Linear, {', '.join(known)} only{hint}")


def _array(parameter: Any) -> Any:
    return None if parameter is None else parameter.detach().cpu().numpy()


def _trained(network: Network, arrays: Sequence[tuple[Array, Array | None]]) -> Trained:
    """From W (n_out, n_in) and b (n_out,), or None for no biases, of each layer."""
    parameters: dict[str, Array] = {}
    for number, (W, b) in enumerate(arrays, 1):
        b = np.zeros(len(W), W.dtype) if b is None else b
        parameters |= {f"W{number}": W, f"b{number}": b.reshape(-1, 1)}
    return Trained(network, parameters)
