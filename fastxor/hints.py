"""What was probably meant by a name that there is not: endings of messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

# What other libraries call it, in lower case and without underscores.
_ELSEWHERE = {
    "linear": "identity",
    "logistic": "sigmoid",
    "lrelu": "leaky_relu",
    "sine": "sin",
    "mse": "squared_error",
    "meansquarederror": "squared_error",
    "smoothl1": "huber",
    "exp": "exponential",
    "poissondeviance": "poisson",
    "poissonnll": "poisson",
    "poissonnllloss": "poisson",
    "bce": "binary_cross_entropy",
    "logloss": "binary_cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "sparsecategoricalcrossentropy": "cross_entropy",
    "kaiming": "he",
    "xavier": "glorot",
    "gaussian": "normal",
    "gd": "SGD",
    "gradientdescent": "SGD",
    "seed": "random_state",
    "rng": "random_state",
    "steps": "iterations",
    "maxiter": "iterations",
    "niter": "iterations",
    "numofiters": "iterations",
    "njobs": "threads",
}

# Of these, a learning rate is the optimizer's.
_RATES = ("lr", "eta", "stepsize", "learningrate", "learningrateinit")


def nearest(value: Any, known: Collection[str]) -> str | None:
    """The name that is written nearly so, or that other libraries write so."""
    from difflib import get_close_matches  # needed by nobody who writes what there is

    if not isinstance(value, str):
        return None
    same = {_plain(name): name for name in known}
    plain = _plain(value)
    if _ELSEWHERE.get(plain) in known:
        return _ELSEWHERE[plain]
    close = get_close_matches(plain, same, n=1)
    return same[close[0]] if close else None


def did_you_mean(value: Any, known: Collection[str]) -> str:
    """The ending for a name that is not among those known; nothing if none is near."""
    near = nearest(value, known)
    return f"; did you mean {near!r}?" if near else ""


def optimizer(value: Any, kinds: Mapping[str, type[Any]]) -> str:
    """The ending for what is no optimizer: a string, or a class."""
    if isinstance(value, str):
        near = nearest(value, kinds) or "Adam"
    elif isinstance(value, type) and value.__name__ in kinds:
        near = value.__name__
    else:
        return ""
    rate = getattr(kinds[near], "learning_rate", None)  # a field's default
    return f"; write optimizer=fx.{near}({rate:g})" if isinstance(rate, float) else f"; write optimizer=fx.{near}()"


def keyword(name: str, value: Any, known: Collection[str], kinds: Mapping[str, type[Any]]) -> str:
    """The ending for an argument that `fastxor.train` has not."""
    if _plain(name) in _RATES:
        rate = float(value) if isinstance(value, Real) else 0.01
        return (
            f"; the learning rate is the optimizer's: write optimizer=fx.Adam({rate:g}) or optimizer=fx.SGD({rate:g})"
        )
    for kind, optimizer in kinds.items():
        if name in getattr(optimizer, "__dataclass_fields__", ()):
            return f"; it is the optimizer's: write optimizer=fx.{kind}({name}={value!r})"
    if name in ("sizes", "hidden", "output", "loss"):
        return f"; it is the network's: write fx.Network(…, {name}={value!r})"
    return did_you_mean(name, known)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
