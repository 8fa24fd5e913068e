"""Pictures of runs and networks, by matplotlib: ``fx.plot.cost``, ``decision_boundary``, ``network``, ``weights``.

Each draws into the axes that it is given, ``ax=``, or into those of a new figure, and returns them, for titles, limits
and whatever else one wants of them. They need matplotlib, ``pip install 'fastxor-nn[plot]'``, which is imported when a
picture is drawn.

>>> import fastxor as fx
>>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
>>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
>>> axes = fx.plot.decision_boundary(run, X, Y)
>>> axes.figure.savefig("xor.png")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation
from fastxor.architecture import Architecture
from fastxor.views import Array

MOST_UNITS = 32  # in a layer of a diagram
_NAMED = 20  # runs that are told apart by a legend
_DIVERGING = "RdBu_r"  # red is positive, blue negative
_LARGEST = 1e200  # that is drawn as it is: of numbers close to the largest one, margins and ticks would overflow


def cost(runs: Any, *, ax: Any = None) -> Any:
    """The cost over the iterations, with a logarithmic scale, and that of the validation data, dashed.

    What is above 1e200, as costs of a run that diverged may be, is drawn there.

    Parameters
    ----------
    runs : Result or History, or a sequence or dict of them, or Population
        One run, or several to be compared; the keys of a dict are their names. Many have thin lines, and no legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        With a line for each run, and a second one in its colour if it has validation data.

    Raises
    ------
    TypeError
        If `runs` is something else.
    ImportError
        If there is no matplotlib.

    Examples
    --------
    >>> import fastxor as fx
    >>> net, X, Y = fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]]
    >>> optimizers = fx.SGD(0.1), fx.Adam(0.1)
    >>> runs = {type(how).__name__: fx.train(net, X, Y, optimizer=how, random_state=0) for how in optimizers}
    >>> axes = fx.plot.cost(runs)
    >>> [line.get_label() for line in axes.get_lines()]
    ['SGD', 'Adam']
    """
    histories = _histories(runs)
    ax = _axes(ax)
    positive, many = True, len(histories) > _NAMED
    for name, history in histories.items():
        style: dict[str, Any] = {"linewidth": 0.5 if many else None, "marker": _marker(history.cost)}
        (line,) = ax.plot(history.iteration, np.minimum(history.cost, _LARGEST), label=name, **style)
        known = ~np.isnan(history.validation_cost)
        if known.any():
            label = f"{name}, validation" if len(histories) > 1 else "validation cost"
            costs = np.minimum(history.validation_cost[known], _LARGEST)
            style |= {"linestyle": "--", "color": line.get_color(), "marker": _marker(costs)}
            ax.plot(history.iteration[known], costs, label=label, **style)
        positive = positive and bool((history.cost > 0).all() and (history.validation_cost[known] > 0).all())
    ax.set_xlabel("iteration")
    ax.set_ylabel("cost")
    if positive and any(map(len, histories.values())):
        ax.set_yscale("log")
    if not many:
        _legend(ax)
    return ax


def decision_boundary(
    run: Any, X: ArrayLike | None = None, Y: ArrayLike | None = None, *, ax: Any = None, points: int = 200
) -> Any:
    """Which class a network of two inputs predicts where, and how surely, with the boundaries between classes.

    Parameters
    ----------
    run : Result or Trained
        With two inputs, and the output sigmoid or softmax. Several outputs of sigmoid are labels that do not exclude
        each other: each has a line of its own, where it is 1/2.
    X : array_like, shape (2, m), optional
        Samples, which are drawn, and around which the picture is; default: from -1 to 1.
    Y : array_like, shape (n_y, m), or (m,), optional
        Their targets, as for `Network.cost`: each class has its colour. Samples with several labels have none.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: axes of a new figure.
    points : int, optional
        In each direction, at which the network is computed.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values, or there are not two inputs; the message names it.
    ImportError
        If there is no matplotlib.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([2, 1])
    >>> axes = fx.plot.decision_boundary(fx.Trained(net, net.initialize(0)), [[0, 1], [2, 3]], [0, 1])
    >>> axes.get_xlabel(), [text.get_text() for text in axes.get_legend().get_texts()]
    ('x1', ['0', '1'])
    """
    network, _parameters = validation.trained("run", run)
    points = validation.integer("points", points, 2)
    if network.sizes[0] != 2:
        raise ValueError(f"run must have two inputs to be drawn over them, got a network of sizes {network.sizes}")
    if network.output not in ("sigmoid", "softmax"):
        raise ValueError(f"run must have classes or labels, output 'softmax' or 'sigmoid', got {network.output!r}")
    if X is not None:
        X = validation.inputs(X, 2)
        Y = None if Y is None else validation.answers(Y, network, X.shape[1])
        validation.check_values(network.loss, X=X, **({} if Y is None else {"Y": Y}))
    elif Y is not None:
        raise TypeError("Y goes with X, got Y alone")
    x1, x2 = (np.linspace(low, high, points) for low, high in _window(X))
    grid = np.stack(np.meshgrid(x1, x2)).reshape(2, -1)
    shares = run.forward(grid.astype(validation.FLOAT64)).reshape(-1, points, points)
    ax = _axes(ax)
    labels = network.output == "sigmoid" and network.sizes[-1] > 1
    if network.output == "sigmoid" and not labels:
        shares = np.concatenate([1 - shares, shares])
    colours = _colours(len(shares))
    if not labels:
        pale = 1 - 0.6 * (1 - colours)
        mixed = np.clip(np.einsum("kij,kc->ijc", shares, pale), 0, 1)
        ax.imshow(mixed, extent=(x1[0], x1[-1], x2[0], x2[-1]), origin="lower", aspect="auto", interpolation="bilinear")
    _lines(ax, x1, x2, shares, colours, labels)
    if X is not None:
        _samples(ax, X, None if labels else Y, colours)
    _legend(ax)
    ax.set_xlabel("x1")
    ax.set_ylabel("x2")
    return ax


def network(run: Any, *, ax: Any = None) -> Any:
    """The network as a diagram: units as circles, weights as lines, red for positive and blue for negative ones.

    The larger a weight, the stronger its colour and the wider its line. A circle's colour is its bias.

    Parameters
    ----------
    run : Result or Trained
        With layers of 32 units at most.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `run` is something else, or too large for a diagram.
    ImportError
        If there is no matplotlib.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([2, 3, 1])
    >>> axes = fx.plot.network(fx.Trained(net, net.initialize(0)))
    >>> [len(lines.get_segments()) for lines in axes.collections if hasattr(lines, "get_segments")]
    [6, 3]
    """
    what, parameters = validation.trained("run", run)
    if max(what.sizes) > MOST_UNITS:
        raise ValueError(
            f"run must have layers of {MOST_UNITS} units at most for a diagram, got sizes {what.sizes}; "
            "fx.plot.weights draws larger ones"
        )
    ax = _axes(ax)
    from matplotlib.collections import LineCollection

    places = [np.stack([np.full(n, layer), (n - 1) / 2 - np.arange(n)], axis=1) for layer, n in enumerate(what.sizes)]
    for number, (before, after) in enumerate(pairwise(places), 1):
        W = np.asarray(parameters[f"W{number}"], np.float64)  # (n_out, n_in)
        top = _top(W)
        segments = [(start, end) for end in after for start in before]
        lines = LineCollection(segments, linewidths=0.3 + 3 * np.abs(W / top).ravel(), cmap=_DIVERGING, zorder=1)
        lines.set_array(W.ravel())
        lines.set_clim(-top, top)
        ax.add_collection(lines)
    size = 600 / max(6, *what.sizes) * 2
    style = {"s": size, "edgecolors": "black", "linewidths": 1, "zorder": 2}
    ax.scatter(*places[0].T, color="white", **style)
    for number, place in enumerate(places[1:], 1):
        b = np.ravel(np.asarray(parameters[f"b{number}"], np.float64))
        top = _top(b)
        ax.scatter(*place.T, c=b, cmap=_DIVERGING, vmin=-top, vmax=top, **style)
    _captions(ax, what)
    return ax


def weights(run: Any, *, ax: Any = None) -> Any:
    """The weights of each layer as an image: a row for each unit, a column for each of its inputs.

    Parameters
    ----------
    run : Result or Trained
    ax : matplotlib.axes.Axes, or a sequence of them, optional
        Where to draw, one for each layer; default: those of a new figure.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (layers,)

    Raises
    ------
    TypeError, ValueError
        If `run` is something else, or there are not as many axes as layers.
    ImportError
        If there is no matplotlib.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([2, 3, 1])
    >>> axes = fx.plot.weights(fx.Trained(net, net.initialize(0)))
    >>> [a.get_title() for a in axes], axes[0].get_images()[0].get_array().shape
    (['W1', 'W2'], (3, 2))
    """
    what, parameters = validation.trained("run", run)
    layers = len(what.layers)
    if ax is None:
        axes = _pyplot().subplots(1, layers, squeeze=False, figsize=(3.2 * layers, 3.2), layout="constrained")[1][0]
    else:
        axes = np.ravel(np.asarray(ax, object))
        if len(axes) != layers:
            raise ValueError(f"ax must be one for each of the {layers} layers, got {len(axes)}")
        axes = np.array([_checked(one) for one in axes], object)
    for number, place in enumerate(axes, 1):
        W = np.asarray(parameters[f"W{number}"], np.float64)
        top = _top(W)
        image = place.imshow(W, cmap=_DIVERGING, vmin=-top, vmax=top, aspect="auto", interpolation="nearest")
        place.set_title(f"W{number}")
        for axis in (place.xaxis, place.yaxis):
            axis.get_major_locator().set_params(integer=True)
        place.set_xlabel("input")
        place.set_ylabel("unit")
        place.figure.colorbar(image, ax=place)
    return axes


# ---------------------------------------------------------------- parts of pictures


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("fx.plot needs matplotlib: pip install 'fastxor-nn[plot]'") from error
    return pyplot


def _axes(ax: Any) -> Any:
    """Those given, or of a new figure."""
    return _pyplot().subplots()[1] if ax is None else _checked(ax)


def _checked(ax: Any) -> Any:
    if not hasattr(ax, "get_legend_handles_labels"):  # pyplot has most other names
        hint = "; pass one of them" if isinstance(ax, (np.ndarray, list, tuple)) else ""
        raise TypeError(f"ax must be a matplotlib.axes.Axes, got {type(ax).__name__}{hint}")
    return ax


def _legend(ax: Any) -> None:
    """One of what has a name, if anything has: matplotlib warns of an empty one."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def _histories(runs: Any) -> dict[str, Any]:
    """By name; a history is a mapping, too, and a population a sequence."""
    if not isinstance(runs, Sequence) and _is_history(getattr(runs, "history", runs)):
        return {"cost": getattr(runs, "history", runs)}
    if isinstance(runs, Mapping):
        named: dict[str, Any] = {str(name): run for name, run in runs.items()}
    elif isinstance(runs, Iterable) and not isinstance(runs, str):
        kind, first = ("member", 0) if hasattr(runs, "networks") else ("run", 1)
        named = {f"{kind} {number}": run for number, run in enumerate(runs, first)}
    else:
        named = {"": runs}
    histories = {name: getattr(run, "history", run) for name, run in named.items()}
    for history in histories.values():
        if not _is_history(history):
            raise TypeError(f"runs must be a Result or a History, or several of them, got {type(history).__name__}")
    if not histories:
        raise TypeError("runs must be a Result or a History, or several of them, got none")
    return histories


def _marker(costs: Array) -> str | None:
    """A line of one point would not be seen."""
    return "." if len(costs) == 1 else None


def _is_history(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("iteration", "cost", "validation_cost")) and value.cost.ndim == 1


def _top(array: Array) -> float:
    """The end of a scale of colours: the largest absolute value, if there is one."""
    return min(float(np.abs(array).max()), _LARGEST) or 1.0


def _window(X: Array | None) -> list[tuple[float, float]]:
    """From where to where in each direction: a quarter of the samples' width more on each side."""
    if X is None:
        return [(-1.0, 1.0)] * 2
    sides = []
    for row in X.astype(np.float64):
        low, high = float(row.min()), float(row.max())
        more = 0.25 * (high - low) or max(1.0, abs(low)) / 2
        sides.append((low - more, high + more))
    return sides


def _colours(number: int) -> Array:
    """An RGB for each of so many classes."""
    from matplotlib import colormaps

    if number <= 10:
        return colormaps["tab10"](np.arange(number))[:, :3]
    return colormaps["turbo"](np.linspace(0.05, 0.95, number))[:, :3]


def _lines(ax: Any, x1: Array, x2: Array, shares: Array, colours: Array, labels: bool) -> None:
    """Where a class ceases to be the likeliest, or a label to be."""
    for number, share in enumerate(shares):
        others = 0.5 if labels else np.delete(shares, number, axis=0).max(axis=0)
        lead = share - others
        if lead.min() < 0 < lead.max():  # else there is no line
            colour = [tuple(colours[number])] if labels else ["black"]
            ax.contour(x1, x2, lead, levels=[0.0], colors=colour, linewidths=1.5)
        if labels:
            ax.plot([], [], color=colours[number], label=f"a{number + 1}")
        elif len(shares) == 2:
            return


def _samples(ax: Any, X: Array, Y: Array | None, colours: Array) -> None:
    """Points, in the colours of their classes if these are known, and which are which."""
    style = {"s": 25, "edgecolors": "black", "linewidths": 0.7, "zorder": 3}
    if Y is None:
        ax.scatter(*X, color="white", **style)
        return
    classes = (Y[0] >= 0.5).astype(int) if len(Y) == 1 else Y.argmax(axis=0)
    for number in np.unique(classes):
        ax.scatter(*X[:, classes == number], color=[colours[number]], label=str(number), **style)


def _captions(ax: Any, what: Architecture) -> None:
    """The activation above each layer, and the names of what goes in and comes out."""
    top = (max(what.sizes) - 1) / 2 + 0.7
    for layer, words in enumerate(["X", *(layer.activation for layer in what.layers)]):
        ax.text(layer, top, words, ha="center", va="bottom")
    for layer, name, side, shift in ((0, "x", "right", -0.12), (len(what.layers), "a", "left", 0.12)):
        n = what.sizes[layer]
        for unit in range(n):
            ax.text(layer + shift, (n - 1) / 2 - unit, f"{name}{unit + 1}", ha=side, va="center")
    ax.set_xlim(-0.5, len(what.layers) + 0.5)
    ax.set_ylim(-top, top + 0.5)
    ax.set_axis_off()
