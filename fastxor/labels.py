"""`one_hot`: class numbers as columns of 0 and 1."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastxor import validation
from fastxor.views import Array


def one_hot(labels: ArrayLike, classes: int) -> Array:
    """Class numbers as targets: a row for each class, with 1 where a sample belongs to it.

    `train`, `Network.cost` and `Network.gradient` take class numbers for softmax as they are. This is for all else:
    several outputs of another kind, or targets to be smoothed or mixed.

    Parameters
    ----------
    labels : array_like, shape (m,) or (1, m)
        Integers from 0 to `classes` - 1. Of other names, text for example, ``np.unique(names, return_inverse=True)``
        gives the classes and such numbers.
    classes : int
        How many classes there are, also those that no sample belongs to.

    Returns
    -------
    ndarray, shape (classes, m)
        float64.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.one_hot([2, 0, 1, 2], 3)
    array([[0., 1., 0., 0.],
           [0., 0., 1., 0.],
           [1., 0., 0., 1.]])
    """
    classes = validation.integer("classes", classes, 1)
    return validation.one_hot("labels", validation.class_numbers(labels), classes)
