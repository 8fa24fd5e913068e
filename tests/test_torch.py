"""Networks to PyTorch and from there: collected where that is installed."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from export_cases import CASES, assert_close, case_id, samples, trained
from torch import nn

import fastxor as fx


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_there_and_back(case):
    run = trained(case)
    model = run.network.to_torch(run.parameters)
    X = samples(run)
    A = model(torch.tensor(np.ascontiguousarray(X.T)))
    assert_close(A.detach().numpy().T, run, X)
    again = fx.from_torch(model, loss=run.network.loss)
    assert again.network == run.network
    np.testing.assert_array_equal(again.forward(X), run.forward(X))
    assert {array.dtype for array in again.parameters.values()} == {np.dtype(case.dtype)}


def test_it_is_trained_by_torch_and_shares_nothing():
    net = fx.Network([2, 4, 1], "sin")
    parameters = net.initialize(0)
    state = torch.get_rng_state()
    model = net.to_torch(parameters)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        for tensor in model.parameters():
            assert tensor.requires_grad
            tensor += 1
    again = fx.from_torch(model)
    for name, array in parameters.items():
        np.testing.assert_array_equal(again.parameters[name], array + 1)
    again.parameters["W1"][:] = 0
    assert float(model[0].weight.detach().abs().min()) > 0
    net.to_torch(parameters)  # another of the same class
    for same in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert repr(same) == repr(model)


@pytest.mark.parametrize(
    ("loss", "last", "output", "chosen"),
    [
        (None, [], "identity", "squared_error"),
        ("huber", [], "identity", "huber"),
        ("cross_entropy", [], "softmax", "cross_entropy"),
        ("binary_cross_entropy", [], "sigmoid", "binary_cross_entropy"),
        ("poisson", [], "exponential", "poisson"),
        (None, [nn.Sigmoid()], "sigmoid", "binary_cross_entropy"),
        ("squared_error", [nn.Sigmoid()], "sigmoid", "squared_error"),
        (None, [nn.Softmax(dim=1)], "softmax", "cross_entropy"),
        (None, [nn.Identity()], "identity", "squared_error"),
    ],
)
def test_the_loss_is_that_of_the_last_module_or_as_given(loss, last, output, chosen):
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), *last)
    run = fx.from_torch(model, loss=loss)
    assert run.network == fx.Network([2, 4, 3], "relu", output, chosen)
    X = torch.randn(5, 2)
    A = model(X)
    if not last and output != "identity":  # of logits
        A = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "exponential": torch.exp}[output](A)
    np.testing.assert_allclose(run.forward(X.numpy().T).T, A.detach().numpy(), rtol=0, atol=1e-6)


def test_other_forms_of_the_same():
    inner = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Softplus())
    model = nn.Sequential(inner, nn.Identity(), nn.Linear(4, 5), nn.Linear(5, 2)).double()
    run = fx.from_torch(model)
    assert run.network == fx.Network([3, 4, 5, 2], ["softplus", "identity"], "identity")
    assert not run.parameters["b1"].any()
    X = torch.randn(6, 3, dtype=torch.float64)
    np.testing.assert_allclose(run.forward(X.numpy().T).T, model(X).detach().numpy(), rtol=0, atol=1e-8)
    assert fx.from_torch(nn.Linear(3, 2)).network.sizes == (3, 2)


class Residual(nn.Sequential):
    """Derived from a class that is known, and another function."""

    def forward(self, X):
        return X + super().forward(X)


class Doubled(nn.Linear):
    """Likewise."""

    def forward(self, X):
        return 2 * super().forward(X)


class Tanh(nn.Module):
    """Of the same name as one that is known."""

    def forward(self, X):
        return X.tan()


def test_classes_derived_without_a_function_of_their_own_are_taken():
    class Named(nn.Sequential):
        pass

    class Quiet(nn.ReLU):
        pass

    weight_norm = nn.utils.parametrizations.weight_norm
    model = Named(weight_norm(nn.Linear(2, 3)), Quiet(), nn.Linear(3, 1)).double()
    X = torch.randn(5, 2, dtype=torch.float64)
    A = fx.from_torch(model).forward(X.numpy().T).T
    np.testing.assert_allclose(A, model(X).detach().numpy(), rtol=0, atol=1e-12)


def with_changed(**attributes):
    """A Linear that is not as it was made."""
    linear = nn.Linear(2, 2)
    for name, value in attributes.items():
        setattr(linear, name, value)
    return linear


def test_what_changes_nothing_is_left_out():
    layers = nn.Flatten(), nn.Identity(), nn.Linear(6, 3), nn.Tanh(), nn.Dropout(), nn.Linear(3, 2), nn.AlphaDropout()
    model = nn.Sequential(*layers).double().eval()
    run = fx.from_torch(model)
    assert run.network == fx.Network([6, 3, 2], "tanh", "identity")
    X = torch.randn(5, 2, 3, dtype=torch.float64)
    A = run.forward(X.reshape(5, 6).numpy().T).T
    np.testing.assert_allclose(A, model(X).detach().numpy(), rtol=0, atol=1e-12)
    assert fx.from_torch(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))).network.sizes == (2, 2)


@pytest.mark.parametrize("place", [0, 1, None])
def test_hooks_are_refused(place):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    module, words = (model, "model") if place is None else (model[place], f"model[{place}]")
    hook = module.register_forward_hook(lambda module, inputs, output: 2 * output)
    with pytest.raises(ValueError, match=re.escape(f"{words} has hooks")):
        fx.from_torch(model)
    hook.remove()
    assert fx.from_torch(model).network.sizes == (2, 3, 1)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ([], "model has no Linear"),
        ([nn.ReLU(), nn.Linear(2, 1)], "model[0] is ReLU(), and a network begins with Linear"),
        ([nn.Linear(2, 2), nn.ReLU(), nn.Tanh()], "model[2] is Tanh(), a second activation"),
        ([nn.Linear(2, 2), nn.ReLU()], "model ends in ReLU"),
        ([nn.Linear(2, 2), nn.Softmax(dim=0)], "there is no 'softmax' with that dim"),
        ([nn.Linear(2, 2), nn.Softmax(dim=1), nn.Linear(2, 1)], "a Softmax before its last Linear"),
        ([nn.Linear(2, 2), nn.LeakyReLU(0.2), nn.Linear(2, 1)], "there is no 'leaky_relu' with that negative_slope"),
        ([nn.Linear(2, 2), nn.GELU("tanh"), nn.Linear(2, 1)], "there is no 'gelu' with that approximate"),
        ([nn.Linear(2, 2), nn.ELU(0.5), nn.Linear(2, 1)], "there is no 'elu' with that alpha"),
        ([nn.Linear(2, 2), nn.Softplus(2), nn.Linear(2, 1)], "there is no 'softplus' with that beta"),
        ([nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 1)], "it does nothing after model.eval()"),
        ([nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)], "model[1] is BatchNorm1d(2"),
        ([nn.Sequential(nn.Linear(2, 2), nn.SiLU()), nn.Linear(2, 1)], "model[0][1] is SiLU()"),
        ([nn.Linear(2, 3), nn.Tanh(), nn.Linear(2, 1)], "behind 3 outputs"),
        ([nn.Linear(2, 2), nn.Softplus(1, 5), nn.Linear(2, 1)], "there is no 'softplus' with that threshold"),
        ([nn.Flatten(0), nn.Linear(2, 1)], "model[0] is Flatten(start_dim=0"),
        ([Residual(nn.Linear(2, 2)), nn.Linear(2, 1)], "model[0] is Residual("),
        ([Doubled(2, 2), nn.Linear(2, 1)], "model[0] is Doubled("),
        ([nn.Linear(2, 2), Tanh(), nn.Linear(2, 1)], "model[1] is Tanh(), and a network has"),
        ([nn.Linear(2, 2).half()], "model[0] has parameters of float16"),
        ([with_changed(bias=nn.Parameter(torch.zeros(2).bfloat16()))], "model[0] has parameters of bfloat16"),
        ([nn.Linear(2, 2, device="meta")], "model[0] has parameters on the device 'meta'"),
        ([with_changed(forward=torch.relu)], "Softmax only; its forward has been replaced"),
        ([nn.LazyLinear(2)], "model[0] is LazyLinear"),
        ([nn.Linear(2, 1), nn.Softmax(dim=1)], "output 'softmax' needs an output for each class"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(modules, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        fx.from_torch(nn.Sequential(*modules))


def test_arguments_are_checked():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn.Sequential, got list"):
        fx.from_torch([nn.Linear(2, 1)])
    with pytest.raises(ValueError, match="did you mean 'cross_entropy'"):
        fx.from_torch(nn.Sequential(nn.Linear(2, 2)), loss="crossentropy")
    with pytest.raises(ValueError, match="missing 'b1'"):
        fx.Network([2, 1]).to_torch({"W1": [[1.0, 2.0]]})
