"""Between labels, as users have them, and the outputs of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from fastxor.views import Array


class Labels:
    """Which classes there are, and the columns that stand for them: one for two classes, else one for each.

    Several labels of a sample are left to scikit-learn, whose rows of 0 and 1 may be sparse; a single label is not, for
    it looks at all of them several times.
    """

    def __init__(self, y: Any, classes: Array | None = None) -> None:
        """Those in y, or these, of which y has some."""
        named = found(y) if is_plain(y) else None
        if named is not None and 2 * len(named) <= len(y):  # as most are; there is nothing to find out
            self.several, self.classes = None, named if classes is None else classes
            return
        kind = type_of_target(y)
        self.several = LabelBinarizer().fit(y) if kind.startswith("multilabel") else None
        if classes is None:
            if kind not in ("binary", "multiclass"):  # it would find out the kind again
                check_classification_targets(y)
            if y.ndim > 1 and self.several is None:
                LabelBinarizer().fit(y)  # which says that there is one label too many
            classes = found(y)
        self.classes = classes

    @property
    def out_activation(self) -> str:
        return "logistic" if self.several is not None or len(self.classes) <= 2 else "softmax"

    def columns(self, y: Any, dtype: Any) -> Array:
        """The targets (m, n_y) for labels that are known."""
        if self.several is not None:
            rows = self.several.transform(y)
            return (rows if isinstance(rows, np.ndarray) else rows.toarray()).astype(dtype)
        if y.ndim > 1:
            raise ValueError("y has several labels for each sample, and what was fitted before had one")
        numbers = np.searchsorted(self.classes, y)
        if len(self.classes) <= 2:
            return numbers[:, None].astype(dtype)
        targets = np.zeros((len(y), len(self.classes)), dtype)
        targets[np.arange(len(y)), numbers] = 1
        return targets

    def meaning(self, A: Array) -> Any:
        """Labels from the outputs (n_y, m)."""
        if self.several is not None:
            return self.several.inverse_transform(A[0] if len(A) == 1 else A.T)
        return self.classes[self._numbers(A)]

    def _numbers(self, A: Array) -> Array:
        """Those of the classes."""
        if len(A) > 1:
            return A.argmax(axis=0)
        return (A[0] > 0.5).view(np.int8) if len(self.classes) == 2 else np.zeros(A.shape[1], np.int8)

    def accuracy(self, y: Any, weights: Array | None) -> Callable[[Array], float]:
        """How many of the labels y are right, as a function of outputs (n_y, m)."""
        if self.several is not None:
            return lambda A: float(accuracy_score(y, self.meaning(A), sample_weight=weights))
        wanted = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        wanted = np.where(self.classes[wanted] == y, wanted, -1)  # there may be others than were trained on
        return lambda A: float(np.average(self._numbers(A) == wanted, weights=weights))


def is_plain(y: Any) -> bool:
    """Whether these are a label for each sample, which scikit-learn need not look at."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "biuU"


def found(y: Any) -> Array:
    """The labels that there are, in order; as text no wider than the longest."""
    if not (isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind != "O"):
        return unique_labels(y)
    classes = np.unique(y)
    return np.array(classes.tolist()) if classes.dtype.kind in "US" else classes
