"""Dictionaries of arrays that are views of one flat vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of float32 or float64, as the data are; which of them, no type says.
Array = NDArray[Any]

# The largest record type that numpy makes, in bytes.
_LARGEST_RECORD = 2**31 - 1


class Slots(tuple[tuple[str, slice, tuple[int, int]], ...]):
    """(name, place in the flat vector, shape) of each of some matrices that lie there one after the other."""

    records: dict[np.dtype[Any], np.dtype[Any]]  # a vector of such numbers as one record, with a field for each matrix

    def __new__(cls, shapes: Mapping[str, tuple[int, int]]) -> Slots:
        slots, start = [], 0
        for name, (rows, columns) in shapes.items():
            end = start + rows * columns
            slots.append((name, slice(start, end), (rows, columns)))
            start = end
        self = super().__new__(cls, slots)
        self.records = {}
        return self

    def __getnewargs__(self) -> tuple[dict[str, tuple[int, int]]]:
        return ({name: shape for name, _place, shape in self},)

    def record(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The type of the record, made when it is first asked for."""
        return self.records.setdefault(dtype, np.dtype([(name, dtype, shape) for name, _place, shape in self]))


class Views(dict[str, Any]):
    """A dict of arrays that are views of one flat vector, which is remembered.

    To its user an ordinary dict. A function that is given one back finds the vector at once, and has
    neither shapes to check nor arrays to copy, as long as the user has put no other array in. What is more than
    a dict is for this package alone, and begins with an underscore.
    """

    __slots__ = ("_flat", "_made_of", "_sizes", "_slots")

    def __init__(self, sizes: tuple[int, ...], slots: Slots, flat: Array) -> None:
        self._sizes, self._slots, self._flat = sizes, slots, flat
        if flat.nbytes <= _LARGEST_RECORD:  # a field is one look-up, where slicing and reshaping are two
            record = slots.records.get(flat.dtype) or slots.record(flat.dtype)
            whole = np.ndarray((), record, flat)
            for name in record.names or ():
                self[name] = whole[name]
        else:
            for name, place, shape in slots:
                self[name] = flat[place].reshape(shape)
        self._made_of = [*self.items()]

    def _is_intact(self) -> bool:
        """Whether the dict still holds exactly the views it was made with."""
        get = self.get
        for name, array in self._made_of:
            if get(name) is not array:
                return False
        return len(self) == len(self._made_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # copies and pickles are plain dicts
