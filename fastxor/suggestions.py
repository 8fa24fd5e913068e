"""What was probably meant by a name that there is not: endings of messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

# What other libraries call it, in lower case and without underscores.
_ELSEWHERE = {
    other: name
    for name, others in {
        "identity": "linear",
        "sigmoid": "logistic",
        "leaky_relu": "lrelu",
        "sin": "sine",
        "squared_error": "mse meansquarederror",
        "huber": "smoothl1",
        "exponential": "exp",
        "poisson": "poissondeviance poissonnll poissonnllloss",
        "binary_cross_entropy": "bce logloss",
        "cross_entropy": "categoricalcrossentropy sparsecategoricalcrossentropy",
        "he": "kaiming kaimingnormal kaiminguniform henormal heuniform",
        "glorot": "xavier xaviernormal xavieruniform glorotnormal glorotuniform",
        "lecun": "lecunnormal lecununiform",
        "normal": "gaussian randn randomnormal",
        "SGD": "gd gradientdescent momentum nesterov",
        "LBFGS": "bfgs lbfgsb",
        "LevenbergMarquardt": "lm trainlm marquardt",
        "learning_rate": "lr eta eta0 learningrateinit",
        "hidden": "units hiddenunits hiddenlayersizes",
        "optimizer": "solver",
        "random_state": "seed rng",
        "iterations": "steps maxiter niter numofiters",
        "interval": "logevery printevery recordevery",
        "initialization": "init initializer kernelinitializer",
        "l2": "alpha regularization l2penalty l2reg",
        "clip_norm": "clip gradclip gradientclip maxnorm maxgradnorm clipgradnorm",
        "validation": "val",
        "progress": "verbose printcost",
        "sample_weight": "weights weight",
        "callback": "metrics",
        "resume": "warmstart",
        "threads": "njobs workers numthreads nthreads",
    }.items()
    for other in others.split()
}

# Of these, a learning rate is the optimizer's, and so is what is decided there by other names.
_RATES = ("lr", "eta", "eta0", "stepsize", "learningrate", "learningrateinit", "schedule", "scheduler", "lrscheduler")
_OPTIMIZERS = {"eps": "epsilon"}
_NETWORKS = {"activation": "hidden", "activations": "hidden", "layers": "sizes", "hiddenlayersizes": "sizes"}
_STOPS = {"niternochange": "patience", "tol": "min_delta", "restorebestweights": "restore_best"}

# What a class's own arguments are called elsewhere; what is said here of one class need not fit another one's.
_ARGUMENTS = {
    "learning_rate": "lr rate eta eta0 alpha stepsize learningrateinit schedule scheduler lrscheduler",
    "rate": "lr learningrate learningrateinit initialrate initiallearningrate baselr",
    "beta1": "betas b1",
    "beta2": "b2",
    "epsilon": "eps",
    "alpha": "rho decay beta smoothing",
    "weight_decay": "decay wd l2",
    "eta_minus": "etas",
    "min_step": "stepsizes",
    "memory": "m maxcor historysize",
    "tolerance": "tol gtol tolerancegrad",
    "damping": "mu lambda lam",
    "every": "stepsize period interval",
    "factor": "gamma decay decayrate",
    "steps": "tmax warmupsteps decaysteps iterations",
    "end": "etamin minlr",
    "sizes": "layers layersizes hiddenlayersizes units dims",
    "hidden": "activation activations",
    "output": "outputactivation outactivation",
    "loss": "criterion lossfunction cost",
    "patience": "niternochange",
    "min_delta": "tol",
    "restore_best": "restorebestweights",
}
# Arguments of a run, which somebody may look for in a network or an optimizer.
_RUNS = (
    "optimizer",
    "iterations",
    "epochs",
    "batch_size",
    "shuffle",
    "drop_last",
    "sample_weight",
    "class_weight",
    "l2",
    "l1",
    "clip_norm",
    "random_state",
    "initialization",
    "interval",
    "validation",
    "early_stopping",
    "target_cost",
    "callback",
    "progress",
    "checkpoint",
    "threads",
)


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
    """The ending for what is no optimizer: a string, a class, or a learning rate."""
    if isinstance(value, str):
        near = nearest(value, kinds) or "Adam"
    elif isinstance(value, type) and value.__name__ in kinds:
        near = value.__name__
    elif isinstance(value, Real) and not isinstance(value, bool):
        return f"; write optimizer=fx.SGD({float(value):g})"
    else:
        return ""
    rate = getattr(kinds[near], "learning_rate", None)  # a field's default
    return f"; write optimizer=fx.{near}({rate:g})" if isinstance(rate, float) else f"; write optimizer=fx.{near}()"


def keyword(name: str, value: Any, known: Collection[str], kinds: Mapping[str, type[Any]]) -> str:
    """The ending for an argument that `fastxor.train` has not."""
    plain = _plain(name)
    if plain in _RATES:
        return _rate(value)
    if _ELSEWHERE.get(plain) in known:
        return did_you_mean(name, known)
    for kind, optimizer in kinds.items():
        fields = {_plain(field): field for field in getattr(optimizer, "__dataclass_fields__", ())}
        field = fields.get(plain, _OPTIMIZERS.get(plain, ""))
        if field in fields.values():
            return f"; it is the optimizer's: write optimizer=fx.{kind}({field}={value!r})"
    if (field := _NETWORKS.get(plain, plain)) in ("sizes", "hidden", "output", "loss"):
        return f"; it is the network's: write fx.Network(…, {field}={value!r})"
    if (field := _STOPS.get(plain, name)) in ("patience", "min_delta", "restore_best"):
        return f"; write early_stopping=fx.EarlyStopping({field}={value!r})"
    if plain in ("dtype", "precision"):
        return "; a run has the precision of its data: pass X.astype(np.float32), or float64"
    return did_you_mean(name, known)


def argument(name: str, value: Any, known: Collection[str]) -> str:
    """The ending for an argument that a class has not: what it is called there, or whose it is."""
    plain = _plain(name)
    for own, others in _ARGUMENTS.items():
        if own in known and plain in others.split():
            return f"; did you mean {own!r}?"
    if hint := did_you_mean(name, known):
        return hint
    if plain in _RATES:
        return _rate(value)
    if plain in ("weightdecay", "decay"):
        return "; fx.AdamW has a weight decay, and a run a penalty: write fx.train(…, l2=…)"
    if plain in ("dtype", "precision"):
        return "; a run has the precision of its data: pass X.astype(np.float32), or float64"
    near = nearest(name, _RUNS)
    return f"; it is the run's: write fx.train(…, {near}={value!r})" if near else ""


def _rate(value: Any) -> str:
    rate = float(value) if isinstance(value, Real) else 0.01
    return f"; the learning rate is the optimizer's: write optimizer=fx.Adam({rate:g}) or optimizer=fx.SGD({rate:g})"


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
