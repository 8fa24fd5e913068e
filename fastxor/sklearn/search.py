"""`GridSearchCV` and `RandomizedSearchCV`: scikit-learn's, whose candidates train side by side in this process.

The cores let other threads run while they work, so that candidates and folds need no processes of their own, into which
data and estimators would have to be copied, and Python and the kernels to be loaded. Small networks are one population.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn import model_selection

from fastxor.sklearn.batching import BatchingBackend
from fastxor.sklearn.mlp import _MLP


class _BatchedSearch:
    """Before a search of scikit-learn's: its ``n_jobs`` are threads, in which fits may meet."""

    estimator: Any

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit every candidate on every fold, and the best one on all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Labels, or numbers.
        **params
            As in scikit-learn: what goes to ``fit`` of the estimator, the scorer and the splitter.

        Returns
        -------
        self
        """
        backend = BatchingBackend(_bytes(X)) if self._has_networks() else "threading"
        # scikit-learn sets filters of warnings around each task, and back to what they were before, which in threads
        # may be those of another task.
        with warnings.catch_warnings(), parallel_config(backend=backend):
            return super().fit(X, y, **params)  # type: ignore[misc]  # of the search that comes after this

    def _has_networks(self) -> bool:
        """Whether there are estimators of this package in it, or among what a candidate may have."""
        return any(isinstance(part, _MLP) for whole in (self.estimator, *self._values()) for part in _parts(whole))

    def _values(self) -> Iterator[Any]:
        """Those that are listed for candidates; what is wrong with the lists, scikit-learn says."""
        grids = vars(self).get("param_grid", vars(self).get("param_distributions"))
        for grid in grids if isinstance(grids, Sequence) else [grids]:
            for values in grid.values() if isinstance(grid, Mapping) else ():
                if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.dtype.kind == "O"):
                    yield from values


def _parts(value: Any) -> Iterator[Any]:
    """A value, and, if it is an estimator, what it is made of."""
    yield value
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield from value.get_params().values()


def _bytes(X: Any) -> int:
    """About what the samples take once they are dense; of a list, by its first row, which may be a text."""
    if isinstance(X, np.ndarray) and X.dtype == np.float32:
        return X.nbytes
    if hasattr(X, "shape"):
        return 8 * math.prod(X.shape)
    return 8 * len(X) * np.size(next(iter(X), 0)) if hasattr(X, "__len__") else 0


class GridSearchCV(_BatchedSearch, model_selection.GridSearchCV):
    """scikit-learn's `GridSearchCV`, whose ``n_jobs`` are threads of this process, and whose small networks are trained
    as populations.

    Parameters, attributes and results are scikit-learn's. It is for estimators of `fastxor.sklearn`, alone or in a
    pipeline; others work as well, but most of them keep Python to themselves, and are served better by processes.

    Candidates, folds and seeds that differ in numbers alone are trained together where that is faster: in batches of 32
    samples at most, with 2,500 at most as the product of these and the network's parameters, if ``max_iter`` allows
    4,000 steps or more.
    Their scores are those of scikit-learn's search over the same estimator to rounding, which may decide whether a loss
    is better by ``tol``, and on which side of a boundary a sample is. With ``random_state=None``, when all draw from
    numpy's generator, they draw in another order. ``fit_time`` is the time until all that were trained together were
    fitted. The others have the same bits, and go on side by side in ``n_jobs`` threads: those of larger networks, of
    ``solver="lbfgs"``, with weights, with a schedule of learning rates, or with callbacks.

    ``pre_dispatch`` limits how many fits are begun, and have their part of the data, at a time. By default these are
    some hundreds, or fewer if the data are large.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxor.sklearn import GridSearchCV, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), learning_rate_init=0.02, tol=0.01, random_state=0)
    >>> search = GridSearchCV(model, {"alpha": [1e-4, 100.0]}, n_jobs=2).fit(X, y)
    >>> search.best_params_
    {'alpha': 0.0001}
    """


class RandomizedSearchCV(_BatchedSearch, model_selection.RandomizedSearchCV):
    """scikit-learn's `RandomizedSearchCV`, whose ``n_jobs`` are threads of this process.

    As `GridSearchCV`.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from fastxor.sklearn import MLPClassifier, RandomizedSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), learning_rate_init=0.02, tol=0.01, random_state=0)
    >>> rates = {"learning_rate_init": loguniform(1e-2, 1e-1)}
    >>> search = RandomizedSearchCV(model, rates, n_iter=3, n_jobs=2, random_state=0).fit(X, y)
    >>> bool(search.best_score_ > 0.9)
    True
    """
