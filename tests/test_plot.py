"""Pictures, by what is in them: lines, labels, extents, images."""

import re
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import ContourSet
from support import X, Y, run_python

import fastxor as fx
from fastxor.__main__ import main

NET = fx.Network([2, 4, 1])
RUN = fx.train(NET, X, Y, optimizer=fx.Adam(0.05), iterations=500, interval=50, random_state=0, backend="numpy")
CROWD = fx.train_population(NET, X, Y, members=25, iterations=60, interval=20, random_state=0, backend="numpy")
DRAW = np.random.RandomState(0)
NUMBERS = DRAW.randint(3, size=90)
POINTS = np.array([[0.0, 4.0, 8.0], [0.0, 4.0, 0.0]])[:, NUMBERS] + DRAW.randn(2, 90)
TREES = fx.train(
    fx.Network([2, 6, 3], "relu", "softmax"),
    POINTS,
    NUMBERS,
    optimizer=fx.Adam(0.05),
    iterations=200,
    interval=20,
    validation=0.2,
    random_state=0,
    backend="numpy",
)


@pytest.fixture(autouse=True)
def no_window():
    """Nothing is shown, and no figure stays open; whatever is left out of a picture is seen when it is rendered."""
    pyplot.close("all")  # those of the docstrings' examples
    with mpl.rc_context({"backend": "agg", "figure.dpi": 30}):
        yield
        for number in pyplot.get_fignums():
            pyplot.figure(number).canvas.draw()
        pyplot.close("all")


def parts(ax, kind):
    return [part for part in ax.get_children() if isinstance(part, kind)]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---------------------------------------------------------------- where to draw


PICTURES = {
    "cost": (lambda ax: fx.plot.cost(RUN, ax=ax)),
    "decision_boundary": (lambda ax: fx.plot.decision_boundary(RUN, X, Y, ax=ax)),
    "network": (lambda ax: fx.plot.network(RUN, ax=ax)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_returned_and_may_be_given(name):
    assert isinstance(PICTURES[name](None), mpl.axes.Axes)
    assert len(pyplot.get_fignums()) == 1
    _figure, ax = pyplot.subplots()
    assert PICTURES[name](ax) is ax
    assert len(pyplot.get_fignums()) == 2


@pytest.mark.parametrize(
    ("ax", "words"), [(3, "got int"), ([None, None], "got list; pass one of them"), (pyplot, "got module")]
)
@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_axes_is_refused(name, ax, words):
    with pytest.raises(TypeError, match=rf"ax must be a matplotlib\.axes\.Axes, {words}"):
        PICTURES[name](ax)


@pytest.mark.parametrize("name", PICTURES)
def test_given_axes_need_no_pyplot(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    figure = mpl.figure.Figure()
    PICTURES[name](figure.subplots())
    figure.savefig(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize("call", [*PICTURES.values(), lambda _: fx.plot.weights(RUN), lambda _: RUN.history.plot()])
def test_without_matplotlib_it_says_what_to_install(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fastxor-nn[plot]'")):
        call(None)


def test_the_package_imports_no_matplotlib(tmp_path):
    code = "import sys, fastxor as fx; print('matplotlib' in sys.modules, fx.plot.cost.__name__)"
    assert run_python("-c", code, cwd=tmp_path).stdout == "False cost\n"


@pytest.mark.parametrize("call", [fx.plot.decision_boundary, fx.plot.network, fx.plot.weights])
@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (NET, "run must be a Result or a Trained, got Network, which has no parameters of its own; pass fx.Trained("),
        (RUN.parameters, "got Views; of a dict, pass fx.Trained(fx.Network("),
        (CROWD, "got Population, which are several; pass one, such as its best"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_run_is_refused(call, thing, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        call(thing)
    assert not pyplot.get_fignums()


# ---------------------------------------------------------------- costs


def test_cost():
    ax = fx.plot.cost(RUN)
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), RUN.history.iteration)
    np.testing.assert_array_equal(line.get_ydata(), RUN.history.cost)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("iteration", "cost", "log")
    assert legend(ax) == ["cost"]


def test_a_single_cost_is_a_point():
    run = fx.train(NET, X, Y, iterations=5, interval=10, random_state=0, validation=(X, Y))
    assert [line.get_marker() for line in fx.plot.cost(run).get_lines()] == [".", "."]
    assert {line.get_marker() for line in fx.plot.cost(TREES).get_lines()} == {"None"}


@pytest.mark.parametrize("draw", [lambda: fx.plot.cost(TREES), lambda: TREES.history.plot()])
def test_cost_with_validation(draw):
    ax = draw()
    cost, validation = ax.get_lines()
    np.testing.assert_array_equal(cost.get_ydata(), TREES.history.cost)
    np.testing.assert_array_equal(validation.get_ydata(), TREES.history.validation_cost)
    assert (cost.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert cost.get_color() == validation.get_color()
    assert legend(ax) == ["cost", "validation cost"]


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ({"one": RUN, "two": TREES}, ["one", "two", "two, validation"]),
        ([RUN.history, TREES], ["run 1", "run 2", "run 2, validation"]),
        ((run for run in (RUN, RUN)), ["run 1", "run 2"]),
    ],
)
def test_costs_of_several_runs(runs, labels):
    ax = fx.plot.cost(runs)
    assert legend(ax) == labels
    assert [line.get_label() for line in ax.get_lines()] == labels
    assert ax.get_lines()[0].get_color() != ax.get_lines()[1].get_color()


def test_costs_of_a_population():
    ax = fx.plot.cost(CROWD[:3])
    assert legend(ax) == ["member 0", "member 1", "member 2"]
    for line, run in zip(ax.get_lines(), CROWD, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), run.history.cost)
    many = fx.plot.cost(CROWD)
    assert many.get_legend() is None
    assert len(many.get_lines()) == 25
    assert many.get_lines()[0].get_linewidth() < ax.get_lines()[0].get_linewidth()


def test_costs_that_a_logarithm_cannot_show():
    X = np.zeros((1, 1))
    run = fx.train(
        fx.Network([1, 1], output="identity"), X, X, iterations=3, interval=1, random_state=0, backend="numpy"
    )
    assert not run.history.cost.any()
    assert fx.plot.cost(run).get_yscale() == "linear"
    assert fx.plot.cost([run, RUN]).get_yscale() == "linear"


def test_numbers_close_to_the_largest_one_are_drawn_without_a_warning():
    with pytest.warns(fx.DivergenceWarning):
        run = fx.train(NET, X, Y, optimizer=fx.SGD(1e308), iterations=5, interval=1, random_state=0, backend="numpy")
    assert max(run.history.cost) > 1e300
    assert max(fx.plot.cost(run).get_lines()[0].get_ydata()) == 1e200
    fx.plot.weights(run)
    fx.plot.network(run)


def test_runs_without_names_have_no_legend():
    assert fx.plot.cost({"_hidden": RUN}).get_legend() is None


def test_a_run_of_no_steps_is_an_empty_picture():
    ax = fx.plot.cost(fx.train(NET, X, Y, iterations=0, random_state=0, backend="numpy"))
    assert ax.get_lines()[0].get_xdata().size == 0
    assert ax.get_yscale() == "linear"


@pytest.mark.parametrize("runs", [3, "run", [], {}, [3], [RUN, None], fx.Trained(NET, RUN.parameters), CROWD.history])
def test_what_has_no_costs_is_refused(runs):
    with pytest.raises(TypeError, match="runs must be a Result or a History, or several of them, got"):
        fx.plot.cost(runs)


# ---------------------------------------------------------------- boundaries


def boundaries(ax):
    """The points of each line."""
    return [np.concatenate(lines.allsegs[0]) for lines in parts(ax, ContourSet)]


def test_decision_boundary():
    ax = fx.plot.decision_boundary(RUN, X, Y)
    (image,) = ax.get_images()
    assert image.get_extent() == [-0.25, 1.25, -0.25, 1.25]
    assert image.get_array().shape == (200, 200, 3)
    (line,) = boundaries(ax)
    np.testing.assert_allclose(RUN.forward(line.T), 0.5, atol=0.02)
    zeros, ones = parts(ax, PathCollection)
    assert zeros.get_offsets().tolist() == [[0, 0], [1, 1]]
    assert ones.get_offsets().tolist() == [[0, 1], [1, 0]]
    assert legend(ax) == ["0", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x2")
    # The image has, at each sample, a paler form of the colour of its class.
    for points in (zeros, ones):
        for x1, x2 in points.get_offsets():
            row, column = (round((x + 0.25) / 1.5 * 199) for x in (x2, x1))
            assert np.abs(1 - 0.6 * (1 - points.get_facecolor()[0, :3]) - image.get_array()[row, column]).max() < 0.05


def test_decision_boundary_between_three_classes():
    ax = fx.plot.decision_boundary(TREES, POINTS, NUMBERS, points=50)
    lines = boundaries(ax)
    assert len(lines) == 3
    for number, line in enumerate(lines):
        A = TREES.forward(line.T)
        np.testing.assert_allclose(A[number], np.delete(A, number, axis=0).max(axis=0), atol=0.1)
    assert [len(points.get_offsets()) for points in parts(ax, PathCollection)] == np.bincount(NUMBERS).tolist()
    assert legend(ax) == ["0", "1", "2"]


def test_decision_boundary_of_labels():
    net = fx.Network([2, 2], output="sigmoid")
    run = fx.Trained(net, {"W1": np.array([[1.0, 0.0], [0.0, 1.0]]), "b1": np.array([[0.0], [-0.5]])})
    ax = fx.plot.decision_boundary(run, POINTS / 4, np.ones((2, 90)))
    first, second = boundaries(ax)
    np.testing.assert_allclose(first[:, 0], 0, atol=1e-3)
    np.testing.assert_allclose(second[:, 1], 0.5, atol=1e-3)
    assert not ax.get_images()
    assert legend(ax) == ["a1", "a2"]


def test_decision_boundary_without_samples_or_a_line(monkeypatch):
    always = fx.Trained(fx.Network([2, 1]), {"W1": np.zeros((1, 2)), "b1": np.ones((1, 1))})
    ax = fx.plot.decision_boundary(always)
    assert not boundaries(ax)
    assert ax.get_images()[0].get_extent() == [-1, 1, -1, 1]
    assert ax.get_legend() is None
    (points,) = parts(fx.plot.decision_boundary(always, [[1.0], [2.0]]), PathCollection)
    assert points.get_offsets().tolist() == [[1, 2]]


def test_decision_boundary_among_many_classes_and_in_float32():
    net = fx.Network([2, 12], output="softmax")
    run = fx.Trained(net, net.initialize(0, dtype=np.float32))
    ax = fx.plot.decision_boundary(run, POINTS.astype(np.float32), np.arange(90) % 12, points=30)
    colours = {tuple(points.get_facecolor()[0]) for points in parts(ax, PathCollection)}
    assert len(colours) == 12


@pytest.mark.parametrize(
    ("run", "arguments", "kind", "words"),
    [
        (fx.Trained(net := fx.Network([3, 1]), net.initialize(0)), (), ValueError, "two inputs to be drawn over them"),
        (fx.Trained(net := fx.Network([2, 1], output="identity"), net.initialize(0)), (), ValueError, "'identity'"),
        (
            fx.Trained(net := fx.Network([2, 1], "tanh", "exponential"), net.initialize(0)),
            (),
            ValueError,
            "'exponential'",
        ),
        (RUN, (X.T,), ValueError, "X must have n_x = 2 rows"),
        (RUN, (X, [1, 2, 3]), ValueError, "Y must have shape"),
        (RUN, ([[np.nan], [1.0]],), ValueError, "X must be finite"),
        (RUN, (None, Y), TypeError, "Y goes with X"),
        (RUN, (X, [-1, 1, 1, -1]), ValueError, "of labels -1 and 1, pass Y > 0"),
        (TREES, (X, np.ones((3, 4))), ValueError, "Y must have columns that sum to 1"),
        (
            fx.Trained(net := fx.Network([2, 1, 2], "identity", "softmax"), net.unflatten(np.full(net.count, 1e308))),
            (),
            OverflowError,
            "overflows float64",
        ),
    ],
)
def test_what_has_no_boundary_is_refused(run, arguments, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        fx.plot.decision_boundary(run, *arguments)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        fx.plot.decision_boundary(RUN, points=1)
    assert not pyplot.get_fignums()


# ---------------------------------------------------------------- networks and weights


def test_network():
    ax = fx.plot.network(TREES)
    for number, lines in enumerate(parts(ax, LineCollection), 1):
        W = TREES.parameters[f"W{number}"]
        np.testing.assert_array_equal(lines.get_array(), W.ravel())
        ends = np.array(lines.get_segments())
        assert ends.shape == (W.size, 2, 2)
        assert set(ends[:, 0, 0]) == {number - 1}
        assert set(ends[:, 1, 0]) == {number}
        np.testing.assert_array_equal(np.argsort(lines.get_linewidths()), np.argsort(np.abs(W).ravel()))
        assert lines.get_clim() == (-np.abs(W).max(), np.abs(W).max())
    layers = parts(ax, PathCollection)
    assert [len(units.get_offsets()) for units in layers] == [2, 6, 3]
    for number, units in enumerate(layers[1:], 1):
        np.testing.assert_array_equal(units.get_array(), TREES.parameters[f"b{number}"].ravel())
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["X", "relu", "softmax", "x1", "x2", "a1", "a2", "a3"]
    inside = ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 2 and ax.get_ylim()[0] < -2.5 and ax.get_ylim()[1] > 2.5
    assert inside


def test_a_network_of_zeros_and_one_that_is_too_large():
    net = fx.Network([1, 2, 1])
    fx.plot.network(fx.Trained(net, net.unflatten(np.zeros(net.count))))
    large = fx.Network([2, fx.plot.MOST_UNITS + 1, 1])
    with pytest.raises(ValueError, match=r"32 units at most .* got sizes \(2, 33, 1\); fx.plot.weights draws larger"):
        fx.plot.network(fx.Trained(large, large.initialize(0)))


def test_weights():
    axes = fx.plot.weights(TREES)
    assert axes.shape == (2,)
    for number, ax in enumerate(axes, 1):
        W = TREES.parameters[f"W{number}"]
        (image,) = ax.get_images()
        np.testing.assert_array_equal(image.get_array(), W)
        assert image.get_clim() == (-np.abs(W).max(), np.abs(W).max())
        assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (f"W{number}", "input", "unit")
    assert len(axes[0].figure.axes) == 4  # with a bar for the colours of each


def test_weights_in_axes_of_ones_own():
    _figure, given = pyplot.subplots(2, 1)
    assert list(fx.plot.weights(RUN, ax=given)) == list(given)
    _figure, one = pyplot.subplots()
    net = fx.Network([2, 1])
    assert list(fx.plot.weights(fx.Trained(net, net.initialize(0)), ax=one)) == [one]
    with pytest.raises(ValueError, match="ax must be one for each of the 2 layers, got 1"):
        fx.plot.weights(RUN, ax=one)
    with pytest.raises(TypeError, match=r"ax must be a matplotlib\.axes\.Axes, got int"):
        fx.plot.weights(RUN, ax=[one, 3])


# ---------------------------------------------------------------- fastxor --plot


@pytest.fixture
def drawn(monkeypatch):
    """What the program drew, by the name of the function."""
    monkeypatch.setattr("fastxor.__main__._SECONDS", 0.001)
    seen = {}
    for name in PICTURES:
        function = getattr(fx.plot, name)

        def kept(*args, name=name, function=function, **kwargs):
            seen[name] = args, function(*args, **kwargs)
            return seen[name][1]

        monkeypatch.setattr(fx.plot, name, kept)
    return seen


def test_the_program_draws_its_run(drawn, tmp_path, capsys):
    path = tmp_path / "xor.png"
    assert main(["--plot", str(path), "--backend", "numpy", "--quiet"]) == 0
    assert capsys.readouterr().out.endswith(f"\nThe run is drawn in {path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["xor.png"]
    run = drawn["cost"][0][0]
    wanted = fx.model(X, Y, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False, backend="numpy")
    for name, array in wanted.items():
        np.testing.assert_array_equal(run.parameters[name], array)
    assert len(run.history) == 1001
    assert [ax.get_title() for _arguments, ax in drawn.values()] == ["Cost", "XOR, as learned", "The network"]


def test_a_network_too_large_for_a_diagram_is_drawn_without(drawn, tmp_path):
    assert main(["--plot", str(tmp_path / "a.svg"), "--hidden", "40", "--iterations", "3", "--quiet"]) == 0
    assert list(drawn) == ["cost", "decision_boundary"]
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_a_run_that_diverges_warns_once(drawn, tmp_path):
    arguments = ["--learning-rate", "1e308", "--seed", "0", "--iterations", "30", "--quiet", "--backend", "numpy"]
    with pytest.warns(fx.DivergenceWarning) as caught:
        assert main([*arguments, "--plot", str(tmp_path / "a.png")]) == 0
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.doc", "must end in .eps"),
        ("a", "must end in"),
        ("a.pgf", "must end in"),
        ("nowhere/a.png", "there is no folder"),
        ("folder.png", "{!r} is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(path, words, tmp_path, capsys):
    (tmp_path / "folder.png").mkdir()
    words = words.format(str(tmp_path / path))
    with pytest.raises(SystemExit, match="2"):
        main(["--plot", str(tmp_path / path)])
    out, err = capsys.readouterr()
    assert out == ""
    assert f"argument --plot: {words}" in err.splitlines()[-1]


def test_what_fails_at_the_end_is_said_in_a_line(drawn, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    path = str(tmp_path / "a.png")
    assert main(["--plot", path, "--iterations", "3", "--quiet", "--backend", "numpy"]) == 1
    assert capsys.readouterr().err == f"fastxor: {path!r} cannot be written: no room\n"


def test_the_program_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SystemExit, match="2"):
        main(["--plot", "xor.png"])
    assert capsys.readouterr().err.splitlines()[-1].endswith("--plot: needs matplotlib: pip install 'fastxor-nn[plot]'")
