"""Folds of the samples: which of them a network is trained on, and which are held out, for cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastxor import validation as checks
from fastxor.cohort import Integers
from fastxor.network import Network
from fastxor.population_setup import seeds
from fastxor.run_setup import classes_of
from fastxor.views import Array


class Folds(NamedTuple):
    """Of each fold, and each sample, (folds, m) bool; and the seeds of those that are trained on them, (folds,)."""

    kept: Array  # to train on
    held: Array  # to look at afterwards; nobody is trained on what is held out
    seeds: Integers


def folds_of(network: Network, X: Array, Y: Array, folds: Any, random_state: Any, there: Array) -> Folds:
    """What `folds` of `cross_validate` says. Samples that are not there, (m,) bool, are in no fold at all."""
    m = X.shape[1]
    if callable(getattr(folds, "split", None)) and not isinstance(folds, str | bytes | type):
        folds = folds.split(X.T, _labels(network, Y))
    if isinstance(folds, Iterator):
        folds = list(folds)
    if isinstance(folds, int | float | np.number) or (isinstance(folds, np.ndarray) and not folds.ndim):
        count = checks.integer("folds", folds, 2, int(there.sum()))
        starts, numbers = seeds(random_state, count), np.full(m, -1)
        numbers[there] = _dealt(network, Y[:, there], count, int(starts[0]))
        held = numbers == np.arange(count)[:, None]
        kept = ~held
    elif isinstance(folds, list | tuple) and folds and all(map(_is_pair, folds)):
        kept, held = _of_pairs(folds, m)
        starts = seeds(random_state, len(held))
    else:
        held = _of_array(folds, m)
        kept, starts = ~held, seeds(random_state, len(held))
    kept, held = kept & there, held & there
    for number, (train, out) in enumerate(zip(kept, held, strict=True)):
        if not (train.any() and out.any()):
            raise ValueError(
                "folds must hold out a sample at least, and leave one to train on; fold "
                f"{number} holds out {out.sum()} and leaves {train.sum()}"
            )
    return Folds(kept, held, starts)


def _labels(network: Network, Y: Array) -> Array:
    """The targets as scikit-learn has them: class numbers, values (m,), or rows of several."""
    if network.output == "softmax":
        return Y.argmax(axis=0)
    return Y[0] if len(Y) == 1 else Y.T


def _dealt(network: Network, Y: Array, count: int, seed: int) -> Integers:
    """The fold of each sample, (m,): dealt out one after the other, a class after the other, in random order."""
    m = Y.shape[1]
    order = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 2, 0])).permutation(m)
    order = order[np.argsort(classes_of(network, Y)[order], kind="stable")]
    numbers = np.empty(m, np.int64)
    numbers[order] = np.arange(m) % count
    return numbers


def _of_array(folds: Any, m: int) -> Array:
    """Who is held out, (folds, m), by the number of each sample's fold, or as it was given."""
    try:
        given = np.asarray(folds)
    except ValueError:  # rows of different lengths
        given = np.empty((), object)
    if given.dtype == np.bool_ and given.ndim == 2 and len(given) and given.shape[1] == m:
        return given
    if given.dtype.kind not in "iu" or given.shape != (m,):
        raise ValueError(
            "folds must be how many there are, an object with a method split, pairs of samples to train on and to hold "
            f"out, or an array of int (m,) = {(m,)} or of bool (folds, m), got "
            + (f"{given.dtype} of shape {given.shape}" if given.ndim else type(folds).__name__)
        )
    numbers = np.unique(given, return_inverse=True)[1]
    count = checks.integer("the number of folds", int(numbers.max()) + 1, 2)
    return numbers == np.arange(count)[:, None]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(map(checks.are_several, pair))


def _of_pairs(pairs: Any, m: int) -> tuple[Array, Array]:
    """Who is trained on and who is held out, each (folds, m), by pairs as scikit-learn's splitters make them."""
    table = np.array([[_chosen(f"folds[{i}][{j}]", pair[j], m) for j in (0, 1)] for i, pair in enumerate(pairs)])
    both = np.argwhere(table.all(axis=1))
    if len(both):
        fold, sample = both[0].tolist()
        raise ValueError(f"folds must not train on what they hold out, got sample {sample} in both of folds[{fold}]")
    return table[:, 0], table[:, 1]


def _chosen(name: str, samples: Any, m: int) -> Array:
    """Which samples these are, (m,) bool, by their numbers, or as it was given."""
    given = np.asarray(samples)
    if given.dtype == np.bool_ and given.shape == (m,):
        return given
    if given.dtype.kind not in "iu" or given.ndim != 1 or not given.size:
        came = f"{given.dtype} of shape {given.shape}"
        raise ValueError(f"{name} must be numbers of samples, or an array of bool (m,) = {(m,)}, got {came}")
    if given.min() < 0 or given.max() >= m:
        wrong = given[(given < 0) | (given >= m)][0]
        raise ValueError(f"{name} must be numbers of samples, from 0 to {m - 1}, got {wrong}")
    chosen = np.bincount(given.astype(np.intp), minlength=m)
    if chosen.max() > 1:
        raise ValueError(f"{name} must have each sample once, got {chosen.argmax()} more often; see sample_weight")
    return chosen > 0
