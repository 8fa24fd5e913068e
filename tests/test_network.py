"""The flat parameter layout, and the dictionaries of views of it that users get, keep and change."""

import copy
import pickle
import threading
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import X, Y, assert_no_alias, assert_same_dict, calls_during

import fastxor as fx
from fastxor import validation
from fastxor.backends import fused
from fastxor.backends.fused import choices
from fastxor.backends.fused.pool import Pool
from fastxor.network import Network, two_layer
from fastxor.views import Views

SIZES = [(1, 1), (7, 3), (1, 1, 1), (2, 3, 1), (3, 5, 2), (4, 32, 16, 4), (3, 1, 5, 17, 33)]


@pytest.mark.parametrize("sizes", SIZES)
def test_layers_fill_the_vector_without_gap_or_overlap(sizes):
    network = Network(sizes)
    owners = np.zeros(network.count, int)
    for layer in network.layers:
        owners[layer.weight] += 1
        owners[layer.bias] += 1
        assert layer.weight.stop - layer.weight.start == layer.n_in * layer.n_out
        assert layer.bias.stop - layer.bias.start == layer.n_out
    np.testing.assert_array_equal(owners, 1)
    assert [(layer.n_in, layer.n_out) for layer in network.layers] == list(pairwise(sizes))


@pytest.mark.parametrize("prefix", ["", "d"])
def test_views_are_the_tutorials_dictionary(prefix):
    network = two_layer(2, 3, 1)
    flat = np.arange(13.0)
    views = Views(network, network._gradient_slots, flat) if prefix else network._views(flat)
    assert list(views) == [prefix + name for name in ("W1", "b1", "W2", "b2")]
    np.testing.assert_array_equal(views[prefix + "W1"], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(views[prefix + "b1"], [[6], [7], [8]])
    np.testing.assert_array_equal(views[prefix + "W2"], [[9, 10, 11]])
    np.testing.assert_array_equal(views[prefix + "b2"], [[12]])
    views[prefix + "b2"][:] = -1
    assert flat[12] == -1


def test_one_object_for_each_triple_of_sizes():
    assert two_layer(2, 3, 1) is two_layer(2, 3, 1)
    assert two_layer(2, 3, 1) == Network((2, 3, 1))
    assert two_layer(2, 3, 1) != two_layer(2, 1, 3)


# ---------------------------------------------------------------- dictionaries that users got, and changed
# Every function recognises the dictionaries that the package made. Whatever a user does to one in between counts.


def parts(seed=0, sizes=(2, 3, 1), dtype=np.float64):
    """Parameters, cache and gradients as the package makes them."""
    parameters = fx.initialize_parameters(*sizes, random_state=seed, dtype=dtype)
    _, cache = fx.forward_prop(X.astype(dtype), parameters)
    return parameters, cache, fx.backward_prop(X, Y, cache, parameters)


def plain(dictionary):
    """The same values in a dict and arrays that the package has never seen."""
    return {key: np.array(array) for key, array in dictionary.items()}


def assert_alike(parameters, cache, grads):
    """The dictionaries give what plain copies of them give, in every function that takes them."""
    with_plain = plain(parameters), plain(cache), plain(grads)
    results = []
    for p, c, g in ((parameters, cache, grads), with_plain):
        A2, new_cache = fx.forward_prop(X, p)
        results.append(
            {
                "A2": A2,
                **new_cache,
                **fx.backward_prop(X, Y, c, p),
                **fx.update_parameters(p, g, 0.1),
                "answers": fx.predict(X, p),
                **{"run" + k: v for k, v in fx.model(X, Y, 2, 3, 1, 5, 0.1, parameters=p, print_cost=False).items()},
            }
        )
    for key, value in results[1].items():
        assert results[0][key].dtype == value.dtype
        np.testing.assert_array_equal(results[0][key], value, err_msg=key)


def test_results_are_dictionaries(core):
    with fx.use_backend(core):
        for result in (*parts(), fx.update_parameters(parts()[0], parts()[2], 0.1)):
            assert isinstance(result, dict)
            assert {**result}.keys() == result.keys()
            assert result | {} == dict(result)


def test_unchanged(core):
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        assert_alike(parameters, cache, grads)
        float32 = [{k: v.astype(np.float32) for k, v in d.items()} for d in (parameters, cache, grads)]
        assert_alike(*float32)


def test_changed_in_place(core):
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        parameters["W1"][1, 0] = 5
        parameters["b2"] += 1
        cache["A1"][2] = 0.5
        grads["dW2"] *= 3
        assert_alike(parameters, cache, grads)


def test_arrays_replaced(core):
    with fx.use_backend(core):
        for number in range(4):
            parameters, cache, grads = parts()
            key = list(parameters)[number]
            parameters[key] = parameters[key] * 2
            grads["d" + key] = grads["d" + key] + 1
            cache["A1"] = cache["A1"] / 2
            assert_alike(parameters, cache, grads)
            parameters[key] = parameters[key].astype(np.float32)
            assert_alike(parameters, cache, grads)
            parameters[key] = parameters[key].tolist()
            assert_alike(parameters, cache, grads)


def test_replaced_behind_the_dictionarys_back(core):
    """Through the methods of dict that bypass a subclass."""
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        parameters.update(W1=np.ones((3, 2)))
        dict.__setitem__(grads, "db1", np.ones((3, 1)))
        cache |= {"A2": np.full((1, 4), 0.25)}
        assert_alike(parameters, cache, grads)


def test_of_other_sizes(core):
    with fx.use_backend(core):
        _, cache, grads = parts(sizes=(2, 4, 1))
        parameters = parts()[0]
        with pytest.raises(ValueError, match=r'grads\["dW1"\].*\(3, 2\).*\(4, 2\)'):
            fx.update_parameters(parameters, grads, 0.1)
        with pytest.raises(ValueError, match=r'cache\["A1"\].*\(3, 4\).*\(4, 4\)'):
            fx.backward_prop(X, Y, cache, parameters)
        cache = fx.forward_prop(X[:, :3], parameters)[1]
        with pytest.raises(ValueError, match=r'cache\["A1"\].*\(3, 4\).*\(3, 3\)'):
            fx.backward_prop(X, Y, cache, parameters)
        with pytest.raises(ValueError, match="parameters"):
            fx.model(X, Y, 2, 4, 1, 1, 0.1, parameters=parameters, print_cost=False)


def test_of_another_kind(core):
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        for call, name in (
            (lambda: fx.update_parameters(parameters, parameters, 0.1), "grads"),
            (lambda: fx.update_parameters(grads, grads, 0.1), "parameters"),
            (lambda: fx.backward_prop(X, Y, grads, parameters), "cache"),
            (lambda: fx.backward_prop(X, Y, cache, cache), "parameters"),
            (lambda: fx.forward_prop(X, grads), "parameters"),
            (lambda: fx.predict(X, cache), "parameters"),
        ):
            with pytest.raises(ValueError, match=name):
                call()


def test_keys_removed(core):
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        del parameters["b1"]
        del grads["db2"]
        del cache["A1"]
        with pytest.raises(ValueError, match="'b1'"):
            fx.predict(X, parameters)
        with pytest.raises(ValueError, match="'db2'"):
            fx.update_parameters(parts()[0], grads, 0.1)
        with pytest.raises(ValueError, match="'A1'"):
            fx.backward_prop(X, Y, cache, parts()[0])
        parameters.clear()
        with pytest.raises(ValueError, match="'W1'"):
            fx.predict(X, parameters)


def test_keys_added(core):
    """Refused as in any other dictionary, where the key may be a slip of the pen; in a cache more is welcome."""
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        cache["Z1"] = np.zeros((3, 4))
        assert_alike(parameters, cache, grads)
        parameters["w1"] = grads["DW1"] = np.ones((3, 2))
        with pytest.raises(ValueError, match="'w1'"):
            fx.forward_prop(X, parameters)
        with pytest.raises(ValueError, match="'w1'"):
            fx.forward_prop(X, dict(parameters))
        with pytest.raises(ValueError, match="'DW1'"):
            fx.update_parameters(parts()[0], grads, 0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_spoiled_in_place(core, value):
    with fx.use_backend(core):
        for key in ("W1", "b1", "W2", "b2"):
            parameters, cache, grads = parts()
            parameters[key][-1, -1] = value
            for call in (
                lambda p=parameters: fx.forward_prop(X, p),
                lambda p=parameters: fx.predict(X, p),
                lambda p=parameters, c=cache: fx.backward_prop(X, Y, c, p),
                lambda p=parameters, g=grads: fx.update_parameters(p, g, 0.1),
                lambda p=parameters: fx.model(X, Y, 2, 3, 1, 1, 0.1, parameters=p, print_cost=False),
            ):
                with pytest.raises(ValueError, match=rf'parameters\["{key}"\] must be finite'):
                    call()


def test_dtypes_that_differ(core):
    """float32 from one call, float64 from another."""
    with fx.use_backend(core):
        double, single = parts(), parts(dtype=np.float32)
        assert {a.dtype for d in single[:2] for a in d.values()} == {np.dtype(np.float32)}
        assert_alike(double[0], single[1], single[2])
        for p, c in ((double[0], single[1]), (single[0], double[1]), (single[0], single[1])):
            grads = fx.backward_prop(X.astype(np.float32), Y, c, p)
            wanted = p["W1"].dtype
            assert {g.dtype for g in grads.values()} == {wanted}
            updated = fx.update_parameters(p, double[2], 0.1)
            assert {u.dtype for u in updated.values()} == {wanted}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, dict, dict.copy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies(core, copied):
    """Each kind of copy is a dictionary of its own."""
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        copies = [copied(d) for d in (parameters, cache, grads)]
        assert_alike(*copies)
        kept = parameters["W1"]
        copies[0]["W1"] = np.zeros((3, 2))
        assert parameters["W1"] is kept
        assert_alike(*copies)


def test_a_result_changed_in_place_changes_no_other(core):
    with fx.use_backend(core):
        parameters, cache, grads = parts()
        updated = fx.update_parameters(parameters, grads, 0.0)
        trained = fx.model(X, Y, 2, 3, 1, 0, 0.0, parameters=parameters, print_cost=False)
        kept = plain(parameters)
        for result in (updated, trained, grads, cache):
            for array in result.values():
                array[:] = 0.125
        for key, array in kept.items():
            np.testing.assert_array_equal(parameters[key], array)


# ---------------------------------------------------------------- what calls share behind the scenes

NET = fx.Network([3, 4, 2], hidden="tanh", output="identity")
LARGE = fx.Network([3, 600, 120], hidden="tanh", output="identity")  # its workspace is large


def case(net, m, seed=0, dtype=np.float64):
    rng = np.random.RandomState(seed)
    features, wanted = rng.randn(net.sizes[0], m).astype(dtype), rng.randn(net.sizes[-1], m).astype(dtype)
    return net.initialize(seed, dtype=dtype), features, wanted


@pytest.mark.parametrize("net", [NET, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("m", [1, 5, 300])
def test_a_call_leaves_the_results_of_earlier_calls_alone(core, net, m):
    first, second = case(net, m, 1), case(net, m, 2)
    with fx.use_backend(core):
        cost, grads = net.gradient(*first)
        outputs = net.forward(*first[:2])
        kept = {key: array.copy() for key, array in grads.items()}, outputs.copy()
        others = (*net.gradient(*second)[1].values(), net.forward(*second[:2]), *first[0].values(), *first[1:])
        for array in (*grads.values(), outputs):
            assert not any(np.shares_memory(array, other) for other in others)
        for key, array in kept[0].items():
            np.testing.assert_array_equal(grads[key], array)
        np.testing.assert_array_equal(outputs, kept[1])
        again = net.gradient(*first)
    assert again[0] == cost
    assert all((again[1][key] == array).all() for key, array in kept[0].items())


@pytest.mark.parametrize("m", [1, 5, 300])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_call_that_goes_wrong_spoils_no_later_one(core, m, value):
    """Refused, or so large that the cost or the gradient may overflow."""
    parameters, features, wanted = case(NET, m)
    with fx.use_backend(core):
        right = NET.gradient(parameters, features, wanted)
        for bad in range(3):
            arguments = [{k: v.copy() for k, v in parameters.items()}, features.copy(), wanted.copy()]
            (arguments[0]["W2"] if bad == 0 else arguments[bad])[-1, -1] = value
            if np.isfinite(value):
                with suppress(OverflowError):
                    NET.gradient(*arguments)
            else:
                with pytest.raises(ValueError, match="must be finite"):
                    NET.gradient(*arguments)
            cost, grads = NET.gradient(parameters, features, wanted)
            assert cost == right[0]
            for key, array in right[1].items():
                np.testing.assert_array_equal(grads[key], array)


@pytest.mark.parametrize("net", [NET, LARGE], ids=["small", "large"])
def test_eight_threads_call_at_once(core, net):
    cases = [case(net, 7, seed, [np.float64, np.float32][seed % 2]) for seed in range(8)]
    with fx.use_backend(core):
        right = [(net.predict(*c[:2]), net.gradient(*c)[1]["dW1"]) for c in cases]
    barrier = threading.Barrier(8, timeout=60)
    got = [[] for _ in cases]

    def work(number):
        barrier.wait()
        for _ in range(100):
            got[number].append(
                (
                    net.predict(*cases[number][:2], backend=core),
                    net.gradient(*cases[number], backend=core)[1]["dW1"],
                )
            )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    for results, (outputs, gradient) in zip(got, right, strict=True):
        assert len(results) == 100
        assert all((o == outputs).all() and (g == gradient).all() for o, g in results)


def test_many_small_workspaces_are_kept_and_one_large(monkeypatch):
    larger, dtype = fx.Network([3, 700, 120], hidden="tanh", output="identity"), np.dtype(np.float64)
    made, pool = [], Pool(lambda *kind: made.append(kind) or fused._Buffers(*kind))
    monkeypatch.setattr(fused, "_pool", pool)
    shelves = {net: pool.shelf(net, 5, dtype) for net in (NET, LARGE, larger)}
    for net in (NET, LARGE, NET, larger, NET, larger):
        net.gradient(*case(net, 5), backend="numba")
    assert made == [(net, 5, dtype) for net in shelves]
    taken = {net: shelf.take() for net, shelf in shelves.items()}
    assert len(made) == 4  # the large one was left by the last who had one
    sizes = [buffers.work.nbytes for buffers in taken.values()]
    assert sizes[0] <= choices.MAX_POOLED_WORKSPACE_BYTES < min(sizes[1:])
    assert max(sizes) <= choices.MAX_RETAINED_WORKSPACE_BYTES
    shelves[larger].give(taken[larger])
    assert shelves[larger].take() is taken[larger]
    monkeypatch.setattr(choices, "MAX_RETAINED_WORKSPACE_BYTES", sizes[2] - 1)
    huge = shelves[larger].take()
    shelves[larger].give(huge)
    assert shelves[larger].take() is not huge


def test_views_of_a_vector_too_large_for_a_record(monkeypatch):
    """They are made in another way, and are the same."""
    network = fx.Network([2, 3, 1])
    flat = np.arange(13.0)
    small = network._views(flat)
    monkeypatch.setattr("fastxor.views._LARGEST_RECORD", 13 * 8 - 1)
    large = network._views(flat)
    assert list(small) == list(large)
    for key, array in large.items():
        assert array.shape == small[key].shape
        assert array.ctypes.data == small[key].ctypes.data
        assert array.flags.c_contiguous
        assert str(array.flags) == str(small[key].flags)


def test_parameters_of_one_network_fit_any_of_its_sizes():
    parameters = fx.Network([2, 3, 1], hidden="relu").initialize(0)
    assert validation.parameters(parameters, fx.Network([2, 3, 1])) is parameters._flat
    copied = pickle.loads(pickle.dumps(fx.Network([2, 3, 1])))
    np.testing.assert_array_equal(validation.parameters(parameters, copied), parameters._flat)


# ---------------------------------------------------------------- flat vectors


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.sampled_from([np.float32, np.float64]), st.data())
@settings(max_examples=60, deadline=None)
def test_flatten_and_unflatten_undo_each_other(sizes, dtype, data):
    """Bit for bit, whatever the values: an infinity, a NaN, a zero with a sign."""
    net = fx.Network(sizes)
    theta = np.frombuffer(data.draw(st.binary(min_size=8 * net.count, max_size=8 * net.count)), dtype)[: net.count]
    parameters = net.unflatten(theta)
    assert {name: array.shape for name, array in parameters.items()} == {n: shape for n, _, shape in net._slots}
    for given_back in (parameters, plain(parameters), dict(reversed(parameters.items()))):
        again = net.flatten(given_back)
        assert (again.dtype, again.shape) == (np.dtype(dtype), (net.count,))
        assert again.tobytes() == theta.tobytes()
        assert_no_alias(again, theta, parameters)
    assert_no_alias(parameters, theta)


def test_flatten_takes_gradients(core):
    """In the places of their parameters: a step on the vectors is a step on the dictionaries."""
    net = fx.Network([3, 4, 2], "relu", "identity")
    for dtype in (np.float32, np.float64):
        parameters, features, wanted = case(net, 5, dtype=dtype)
        _, grads = net.gradient(parameters, features, wanted, backend=core)
        for each in (grads, plain(grads)):
            assert net.flatten(each).dtype == dtype
            step = net.unflatten(net.flatten(parameters) - dtype(0.5) * net.flatten(each))
            assert_same_dict(step, {k: v - dtype(0.5) * grads["d" + k] for k, v in parameters.items()}, rtol=0)
        assert_no_alias(net.flatten(grads), grads)


def test_flatten_sees_what_has_been_changed():
    net = fx.Network([2, 3, 1])
    parameters = net.initialize(0)
    parameters["b2"] = [[7.0]]
    parameters["W1"][0, 0] = 5.0
    flat = net.flatten(parameters)
    assert (flat[0], flat[-1]) == (5.0, 7.0)
    single = {k: np.float32(v) for k, v in parameters.items()}
    assert net.flatten(single).dtype == np.float32
    assert net.flatten({**single, "b1": np.zeros((3, 1))}).dtype == np.float64


@pytest.mark.parametrize(
    "form",
    [list, tuple, lambda t: t.astype(int), lambda t: np.repeat(t, 2)[::2], lambda t: t[::-1].copy()[::-1],
     lambda t: t.astype(">f8"), lambda t: np.frombuffer(t.tobytes())],
)  # fmt: skip
def test_unflatten_takes_a_vector_in_any_form(core, form):
    net, theta = fx.Network([2, 3, 1]), np.arange(13.0)
    parameters = net.unflatten(form(theta))
    assert_same_dict(parameters, net.unflatten(theta), rtol=0)
    assert net.cost(parameters, X, Y, backend=core) == net.cost(plain(parameters), X, Y, backend=core)
    parameters["W1"][:] = 0  # nobody else's, and not read-only
    np.testing.assert_array_equal(theta, np.arange(13.0))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros(12), ValueError, r"theta must have shape \(count,\) = \(13,\), got shape \(12,\)$"),
        (np.zeros((13, 1)), ValueError, r"theta .* got shape \(13, 1\); pass theta.ravel\(\)$"),
        (3.0, ValueError, r"theta .* got shape \(\)$"),
        ({"W1": 1}, TypeError, "theta must hold real numbers"),
        (np.zeros(13, complex), TypeError, "theta must hold real numbers"),
    ],
)
def test_unflatten_refuses(wrong, error, message):
    with pytest.raises(error, match=message):
        fx.Network([2, 3, 1]).unflatten(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {}, "parameters must be a dict with the keys W1, b1, W2, b2; missing"),
        (lambda d: {**d, "dW1": d["W1"]}, "parameters must be .* keys dW1, db1, dW2, db2; missing .* and unknown 'W1'"),
        (lambda d: {**d, "W1": d["W1"].T}, r'parameters\["W1"\] must have shape \(3, 2\) .* got shape \(2, 3\)'),
        (lambda d: fx.Network([3, 3, 1]).initialize(0), r'parameters\["W1"\] must have shape \(3, 2\)'),
    ],
)
def test_flatten_refuses(change, message):
    net = fx.Network([2, 3, 1])
    with pytest.raises(ValueError, match=message):
        net.flatten(change(dict(net.initialize(0))))
    with pytest.raises(TypeError, match="parameters must be a dict"):
        net.flatten(np.zeros(13))


def test_flat_vectors_are_cheap():
    """A copy, and the views that any result has: nothing for each layer."""
    few, many = (fx.Network([3] * layers) for layers in (3, 60))
    for net in (few, many):
        net.unflatten(net.flatten(net.initialize(0)))
    starts = [net.initialize(0) for net in (few, many)]
    counts = [calls_during(lambda n=net, s=start: n.flatten(s)) for net, start in zip((few, many), starts, strict=True)]
    assert counts[1] - counts[0] <= 2 * 58  # a look at each array: is it still the one that was made?
    vectors = [net.flatten(start) for net, start in zip((few, many), starts, strict=True)]
    counts = [calls_during(lambda n=n, t=t: n.unflatten(t)) for n, t in zip((few, many), vectors, strict=True)]
    assert counts[1] == counts[0]


# ---------------------------------------------------------------- finite arguments, results that no float holds


def overflow(dtype, core, call, *arguments):
    """The message of the error that such a call ends with, whatever the number of samples."""
    messages = set()
    for m in (1, 3, 4, 9, 40, 600, 11_000):
        tiled = [
            a if isinstance(a, dict) else np.tile(np.array(a, dtype), m) for a in arguments
        ]  # the first sample is the one named
        with pytest.raises(OverflowError) as raised:
            call(*tiled, backend=core)
        messages.add(str(raised.value))
    assert len(messages) == 1
    return messages.pop()


def filled(net, dtype, *weights):
    """Parameters with one value for all weights of each layer, and biases of 0."""
    return {
        name: np.full(array.shape, weights[int(name[1:]) - 1] if name[0] == "W" else 0, dtype)
        for name, array in net.initialize(0).items()
    }


HUGE = {"float64": 1e200, "float32": 1e30}
TOO_LARGE = "; X, Y or the parameters are too large"


@pytest.mark.parametrize("dtype", HUGE)
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
def test_outputs_that_overflow(core, output, dtype):
    """Infinities of either sign meet in the last layer."""
    net, large = fx.Network([2, 3, 2], "relu", output), HUGE[dtype]
    start = filled(net, dtype, large, 1.0)
    start["W2"][:, 0] = -1.0
    X, Y = [[large], [1.0]], [[1.0], [0.0]]
    message = f"W1 X + b1 of layer 1 overflows {dtype}, got inf at (0, 0)" + TOO_LARGE
    assert overflow(dtype, core, net.forward, start, X) == message
    assert overflow(dtype, core, net.predict, start, X) == message
    assert overflow(dtype, core, net.cost, start, X, Y) == message
    assert overflow(dtype, core, net.gradient, start, X, Y) == message


@pytest.mark.parametrize("dtype", HUGE)
def test_an_overflow_in_a_deeper_layer(core, dtype):
    net, large = fx.Network([1, 2, 2, 1, 1], "identity", "identity"), HUGE[dtype]
    start = filled(net, dtype, 1.0, large, large, 1.0)
    message = f"W3 A2 + b3 of layer 3 overflows {dtype}, got inf at (0, 0)" + TOO_LARGE
    assert overflow(dtype, core, net.forward, start, [[1.0]]) == message
    assert overflow(dtype, core, net.gradient, start, [[1.0]], [[1.0]]) == message


@pytest.mark.parametrize("dtype", HUGE)
def test_a_cost_that_overflows(core, dtype):
    """Beside outputs and a gradient that do not."""
    net = fx.Network([1, 1], output="identity")
    start = filled(net, dtype, HUGE[dtype])
    message = f"the cost overflows {dtype}, got inf" + TOO_LARGE
    assert overflow(dtype, core, net.cost, start, [[1.0]], [[0.0]]) == message
    assert overflow(dtype, core, net.gradient, start, [[1.0]], [[0.0]]) == message


@pytest.mark.parametrize("dtype", HUGE)
def test_a_gradient_that_overflows(core, dtype):
    """Beside a cost that does not; the backward pass meets the last layer first."""
    net, large = fx.Network([1, 1, 1], "identity", "identity", loss="huber"), HUGE[dtype]
    start = filled(net, dtype, 0.0, large)
    message = f"dW1 of layer 1 overflows {dtype}, got inf at (0, 0)" + TOO_LARGE
    assert overflow(dtype, core, net.gradient, start, [[large]], [[-5.0]]) == message
    assert net.cost(start, [[large]], [[-5.0]], backend=core) == 4.5


@pytest.mark.parametrize("size", [1, 2, 16, 17, 333])
@pytest.mark.parametrize("dtype", HUGE)
def test_one_number_that_overflows(core, dtype, size):
    """It is found wherever it stands, in an output and in a gradient, and many large numbers are not taken for one."""
    large = HUGE[dtype]
    wide, tall = fx.Network([1, size], output="identity"), fx.Network([size, 1, 1], "identity", "identity", "huber")
    for place in {0, size // 2, size - 1}:
        weights, features = np.full((2, size, 1), 1.0, dtype)
        weights[place] = features[place] = large
        start = {"W1": weights, "b1": np.zeros((size, 1), dtype)}
        assert np.isfinite(wide.forward(start, np.ones((1, 1), dtype), backend=core)).all()
        assert f"got inf at ({place}, 0)" in overflow(dtype, core, wide.forward, start, [[large]])
        start = filled(tall, dtype, 0.0, large)
        message = f"dW1 of layer 1 overflows {dtype}, got inf at (0, {place})" + TOO_LARGE
        assert overflow(dtype, core, tall.gradient, start, features, [[-5.0]]) == message
