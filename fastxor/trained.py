"""`Trained`: a network with its parameters."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from fastxor import validation
from fastxor.files import Path
from fastxor.names import BackendName
from fastxor.network import Network
from fastxor.views import Array


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A network with its parameters: what `from_sklearn` and `from_torch` return, and what every `Result` is.

    Attributes
    ----------
    network : Network
    parameters : dict
        ``W1, b1, W2, b2, …``; copies of those given.

    Raises
    ------
    TypeError, ValueError
        If `network` is none, or a parameter is missing, or has the wrong kind or shape; the message names it.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([1, 1], output="identity")
    >>> line = fx.Trained(net, net.unflatten([2.0, 1.0]))
    >>> line
    Trained(1-1 network)
    >>> line.predict([[0.0, 3.0]])
    array([[1., 7.]])
    """

    network: Network
    parameters: dict[str, Array]

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise TypeError(f"network must be a Network, got {type(self.network).__name__}")
        theta = validation.parameters(self.parameters, self.network)
        object.__setattr__(self, "parameters", self.network._views(theta.copy()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'-'.join(map(str, self.network.sizes))} network)"

    def forward(self, X: ArrayLike, *, backend: BackendName | None = None) -> Array:
        """`Network.forward` with these parameters: the outputs (n_y, m) for X (n_x, m)."""
        return self.network.forward(self.parameters, X, backend=backend)

    def predict(self, X: ArrayLike, *, backend: BackendName | None = None) -> Array:
        """`Network.predict` with these parameters: labels, class numbers or values for X (n_x, m)."""
        return self.network.predict(self.parameters, X, backend=backend)

    def cost(self, X: ArrayLike, Y: ArrayLike, *, backend: BackendName | None = None) -> float:
        """`Network.cost` with these parameters: the loss, averaged over the samples."""
        return self.network.cost(self.parameters, X, Y, backend=backend)

    def export(self, path: Path, *, prefix: str | None = None) -> None:
        """Write it for programs without this package: ``.py``, ``.c``, ``.h``, ``.onnx``, ``.safetensors``, ``.json``.

        The same as ``fx.export(run, path)``, whose help says what each of them holds.
        """
        from fastxor.exporting import export  # which most programs never need

        export(self, path, prefix=prefix)
