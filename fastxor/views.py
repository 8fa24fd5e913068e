"""Dictionaries of arrays that are views of one flat vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastxor.network import Network

Array = NDArray[np.floating]
Slots = tuple[tuple[str, slice, tuple[int, int]], ...]  # (name, place in the flat vector, shape) of each array


class Views(dict[str, Any]):
    """A dict of arrays that are views of one flat vector, which is remembered.

    To its user an ordinary dict. A function that is given one back finds the vector at once, and has
    neither shapes to check nor arrays to copy, as long as the user has put no other array in.
    """

    __slots__ = ("_made_of", "flat", "network", "slots")

    def __init__(self, network: Network, slots: Slots, flat: Array) -> None:
        self.network, self.slots, self.flat = network, slots, flat
        for name, place, shape in slots:
            self[name] = flat[place].reshape(shape)
        self._made_of = [*self.items()]

    def is_intact(self) -> bool:
        """Whether the dict still holds exactly the views it was made with."""
        for name, array in self._made_of:
            if self.get(name) is not array:
                return False
        return len(self) == len(self._made_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # copies and pickles are plain dicts
