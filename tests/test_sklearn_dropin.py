"""scikit-learn's own tests of its perceptrons, as they are installed with it, on this package's classes.

Their file is run as a module of its own, which finds the two classes where it looks for theirs; each of its tests is
one of ours.
"""

import importlib.util
from unittest.mock import patch

import pytest
from sklearn import neural_network

import fastxor.sklearn as ours

# Tests that look at how theirs are made, and what at.
PRIVATE = {"test_gradient": "_loss_grad_lbfgs, a method that returns the gradient in pieces"}

pytestmark = [
    pytest.mark.filterwarnings("default"),  # theirs are few epochs, which warn
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def _theirs():
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    module = importlib.util.module_from_spec(spec)
    replaced = {name: getattr(ours, name) for name in ("MLPClassifier", "MLPRegressor")}
    with patch.multiple(neural_network, **replaced):
        spec.loader.exec_module(module)
    assert module.MLPClassifier is ours.MLPClassifier
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


THEIRS = _theirs()
globals().update({name: test for name, test in THEIRS.items() if name not in PRIVATE})


@pytest.fixture
def global_random_seed():
    return 42


def test_the_list_of_exceptions_is_of_tests_that_there_are():
    assert set(PRIVATE) < set(THEIRS)
    assert len(THEIRS) > 30


@pytest.mark.parametrize("name", PRIVATE)
def test_exceptions_are_needed(name):
    with pytest.raises(AttributeError, match=PRIVATE[name].split(",")[0]):
        THEIRS[name]()
