"""`Trained`: what a user gives it is checked, and copied."""

import re

import numpy as np
import pytest

import fastxor as fx

NET = fx.Network([2, 3, 1])
GOOD = {"W1": np.ones((3, 2)), "b1": np.zeros((3, 1)), "W2": [[1.0, 2.0, 3.0]], "b2": [[0]]}


@pytest.mark.parametrize(
    ("network", "parameters", "kind", "words"),
    [
        ([2, 3, 1], GOOD, TypeError, "network must be a Network, got list"),
        (NET, None, TypeError, "parameters must be a dict with the keys W1, b1, W2, b2, got NoneType"),
        (NET, {"W1": GOOD["W1"]}, ValueError, "missing 'b1', 'W2', 'b2'"),
        (NET, GOOD | {"W1": np.ones((2, 3))}, ValueError, 'parameters["W1"] must have shape (3, 2) to go with'),
        (NET, GOOD | {"b2": [["a"]]}, TypeError, 'parameters["b2"] must hold real numbers'),
    ],
)
def test_what_does_not_fit_together_is_refused(network, parameters, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        fx.Trained(network, parameters)


@pytest.mark.parametrize("given", [GOOD, NET.unflatten(np.arange(13.0))], ids=["arrays", "views"])
def test_parameters_are_copied(given):
    run = fx.Trained(NET, given)
    before = np.array(given["W1"])
    run.parameters["W1"][:] = 7
    assert {array.dtype for array in run.parameters.values()} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(given["W1"], before)
    assert run.forward([[1.0], [2.0]]).shape == (1, 1)
