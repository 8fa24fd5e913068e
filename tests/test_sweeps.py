"""`cross_validate` and `sweep` are populations of folds and settings; the table says what `train` says of each."""

import numpy as np
import pandas
import pytest
from test_population import NET, TINY, XOR, X, Y, assert_same, flat

import fastxor as fx

ASKED = {"optimizer": fx.Adam(0.05), "iterations": 60, "random_state": 0}
THREE = fx.Network([3, 5, 3], "relu", "softmax")
CLASSES = np.repeat([0, 1, 2], [22, 13, 5])


def test_each_fold_is_a_run_of_train(core):
    table = fx.cross_validate(NET, X, Y, folds=3, backend=core, **ASKED)
    assert table.columns == ("fold", "samples", "cost", "validation_cost", "score", "iterations")
    assert table["samples"].tolist() == [14, 13, 13]
    again = fx.cross_validate(NET, X, Y, folds=3, backend=core, **ASKED)
    np.testing.assert_array_equal(flat(table.population), flat(again.population))
    for row, run in zip(table, table.population, strict=True):
        kept = run._settings["weights"] > 0
        assert row["samples"] == (~kept).sum()
        seed = int(table.population.seeds[row["fold"]])
        alone = fx.train(NET, X[:, kept], Y[:, kept], backend=core, **ASKED | {"random_state": seed})
        np.testing.assert_allclose(NET.flatten(run.parameters), NET.flatten(alone.parameters), rtol=1e-6, atol=1e-9)
        assert np.isclose(row["validation_cost"], alone.cost(X[:, ~kept], Y[:, ~kept]))
        assert np.isclose(row["cost"], alone.cost(X[:, kept], Y[:, kept]))
        assert row["score"] == (alone.predict(X) == Y)[0, ~kept].mean()


def looked_at(monkeypatch):
    """How many members' held-out folds were looked at, in a list."""
    from fastxor import population_loop

    seen, look = [], population_loop._validation
    monkeypatch.setattr(population_loop, "_validation", lambda *given: seen.append(len(given[2])) or look(*given))
    return seen


def test_a_fold_is_looked_at_no_more_often_than_somebody_wants(monkeypatch, core):
    seen = looked_at(monkeypatch)
    asked = ASKED | {"folds": 3, "backend": core, "iterations": None, "epochs": 5, "batch_size": 8}
    last = fx.cross_validate(NET, X, Y, **asked)
    assert seen == [3]
    assert np.isnan(last.population.history.validation_cost).all()
    for more in (
        {"early_stopping": fx.EarlyStopping(99, restore_best=False)},
        {"callback": lambda moment: None},
        {"interval": 5},
    ):
        seen.clear()
        each = fx.cross_validate(NET, X, Y, **asked, **more)
        assert len(seen) > 1
        np.testing.assert_array_equal(flat(each.population), flat(last.population))
        np.testing.assert_array_equal(each["validation_cost"], last["validation_cost"])
        assert np.isfinite(each.population.history.validation_cost[:5]).all()
    seen.clear()
    fx.sweep(NET, X, Y, {"l2": [0.0, 0.1]}, **asked)
    fx.sweep(NET, X, Y, {"l2": [0.0, 0.1]}, **asked | {"folds": None, "validation": 0.2})
    assert seen == [6, 2]


@pytest.mark.parametrize("call", [fx.cross_validate, fx.sweep])
def test_who_diverged_is_said_at_the_users_line(call):
    grid = {"grid": {"learning_rate": [1e200, 0.1]}} if call is fx.sweep else {}
    with pytest.warns(fx.DivergenceWarning) as caught:
        call(NET, X, Y, **grid, optimizer=fx.SGD(1e200), iterations=5, folds=2, random_state=0)
    assert [warning.filename for warning in caught] == [__file__]


def held(table):
    return np.stack([run._settings["weights"] == 0 for run in table.population])


def test_folds_have_every_sample_once_and_every_class_alike():
    table = fx.cross_validate(THREE, X, CLASSES, folds=5, backend="numpy", **ASKED)
    masks = held(table)
    assert (masks.sum(axis=0) == 1).all()
    for number in range(3):
        counts = masks[:, number == CLASSES].sum(axis=1)
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(
        masks, held(fx.cross_validate(THREE, X, CLASSES, backend="numpy", **ASKED | {"random_state": 1}))
    )


def test_folds_of_ones_own():
    numbers = np.arange(40) // 15
    masks = numbers == np.arange(3)[:, None]
    of_numbers = fx.cross_validate(NET, X, Y, folds=numbers, backend="numpy", **ASKED)
    of_masks = fx.cross_validate(NET, X, Y, folds=masks, backend="numpy", **ASKED)
    np.testing.assert_array_equal(held(of_numbers), masks)
    np.testing.assert_array_equal(flat(of_numbers.population), flat(of_masks.population))
    assert of_numbers["samples"].tolist() == [15, 15, 10]


class Splitter:
    """As scikit-learn's, with folds that share samples and leave some out."""

    def split(self, features, labels):
        assert features.shape == (40, 3)
        np.testing.assert_array_equal(labels, CLASSES)
        return zip(TRAINED, HELD_OUT, strict=True)


TRAINED = [[0, 5, 23, 39], np.arange(10, 30), np.arange(40) > 20]
HELD_OUT = [np.arange(24, 39), (31, 1, 36), np.arange(40) < 9]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("folds", [Splitter(), [*zip(TRAINED, HELD_OUT, strict=True)]])
def test_pairs_say_what_to_train_on(folds, class_weight, core):
    asked = ASKED | {"backend": core, "class_weight": class_weight}
    table = fx.cross_validate(THREE, X, CLASSES, folds=folds, **asked)
    assert table["samples"].tolist() == [15, 3, 9]
    for row, run, kept, out in zip(table, table.population, TRAINED, HELD_OUT, strict=True):
        seed = {"random_state": int(table.population.seeds[row["fold"]])}
        alone = fx.train(THREE, X[:, kept], CLASSES[kept], **asked | seed)
        np.testing.assert_allclose(THREE.flatten(run.parameters), THREE.flatten(alone.parameters), rtol=1e-5, atol=1e-8)
        out = np.array(out)
        assert np.isclose(row["validation_cost"], alone.cost(X[:, out], CLASSES[out]))
        assert row["score"] == (alone.predict(X[:, out]) == CLASSES[out]).mean()
    twice = fx.sweep(THREE, X, CLASSES, {"l2": [0.0, 0.1]}, folds=folds, **asked)
    np.testing.assert_array_equal(flat(twice.of(0)), flat(table.population))


def test_samples_without_weight_are_in_no_fold():
    weights = np.arange(40) % 3 + 1.0
    weights[::4] = 0
    kept = weights > 0
    spoilt = np.where(kept, X, np.nan)
    one = fx.cross_validate(NET, spoilt, Y, sample_weight=weights, backend="numpy", **ASKED)
    other = fx.cross_validate(NET, X[:, kept], Y[:, kept], sample_weight=weights[kept], backend="numpy", **ASKED)
    assert one["samples"].tolist() == [6] * 5
    np.testing.assert_allclose(flat(one.population), flat(other.population), rtol=1e-10)
    np.testing.assert_array_equal(one["score"], other["score"])
    np.testing.assert_allclose(one["validation_cost"], other["validation_cost"])


def test_values_are_scored_by_the_variance_explained():
    net = fx.Network([3, 6, 1], output="identity")
    wanted = X[0] * 2 - X[1]
    table = fx.cross_validate(net, X, wanted, optimizer=fx.Adam(0.05), iterations=300, random_state=0, backend="numpy")
    for row, run, mask in zip(table, table.population, held(table), strict=True):
        error = ((run.predict(X)[0] - wanted)[mask] ** 2).sum()
        assert np.isclose(row["score"], 1 - error / ((wanted[mask] - wanted[mask].mean()) ** 2).sum())
    assert table["score"].mean() > 0.8


def test_each_setting_is_a_run_of_train(core):
    grid = {"learning_rate": [0.01, 0.1], "hidden": [2, (4, 3), "relu"], "l2": np.array([0.0, 0.1])}
    table = fx.sweep(NET, X, Y, grid, backend=core, **ASKED)
    assert len(table) == 12
    assert table.columns == ("learning_rate", "hidden", "l2", "cost", "iterations")
    assert [row["hidden"] for row in table][:6] == [2, 2, (4, 3), (4, 3), "relu", "relu"]
    assert len(set(table.population.seeds.tolist())) == 1
    for row, run in zip(table, table.population, strict=True):
        units = row["hidden"]
        net = fx.Network([3, 4, 1], "relu") if units == "relu" else fx.Network([3, *np.atleast_1d(units), 1])
        asked = ASKED | {"random_state": int(table.population.seeds[0]), "optimizer": fx.Adam(row["learning_rate"])}
        alone = fx.train(net, X, Y, l2=row["l2"], backend=core, **asked)
        assert run.network == net
        np.testing.assert_allclose(net.flatten(run.parameters), net.flatten(alone.parameters), rtol=1e-5, atol=1e-8)
    assert table.best == table[int(table["cost"].argmin())]


LOTS = {
    "optimizer": [fx.SGD(0.1), fx.SGD(0.2, 0.9), fx.Adam(0.01), fx.Adam(0.02), fx.Adam(fx.schedules.cosine(0.1, 9))],
    "batch_size": [None, 7, 7, 16, None],
    "shuffle": [True, True, False, False, True],
    "drop_last": [True, False, True, False, False],
    "epochs": [4, 2, 3, 2, 4],
    "initialization": [None, "he", "normal", None, "lecun"],
    "class_weight": [None, "balanced", None, {0: 2.0}, "balanced"],
    "activation": ["relu", "tanh", ("relu", "sin"), "tanh", "relu"],
    "hidden": [3, (2, 3), (2, 3), 3, 3],
    "clip_norm": [None, 0.1, 0.1, None, 0.2],
}


@pytest.mark.parametrize("several", [*LOTS, "all"])
def test_settings_that_are_trained_apart_are_runs_of_train(several, core):
    rows = [dict(zip(LOTS, values, strict=True)) for values in zip(*LOTS.values(), strict=True)]
    if several != "all":
        rows = [{several: value, "hidden": 3} | ({"hidden": row["hidden"]} if several == "activation" else {})
                for row in rows for value in [row[several]]]  # fmt: skip
    plain = {"optimizer": fx.SGD(0.2), "epochs": 2, "batch_size": 9, "backend": core}
    plain = {name: value for name, value in plain.items() if name not in rows[0]}
    table = fx.sweep(NET, X, Y, rows, random_state=0, **plain)
    assert list(table) == [row | {name: found[name] for name in ("cost", "iterations")}
                           for row, found in zip(rows, table, strict=True)]  # fmt: skip
    for row, run in zip(rows, table.population, strict=True):
        asked = plain | {name: value for name, value in row.items() if name not in ("activation", "hidden")}
        net = fx.Network([3, *np.atleast_1d(row["hidden"]), 1], row.get("activation", "tanh"))
        alone = fx.train(net, X, Y, random_state=int(table.population.seeds[0]), **asked)
        assert (run.network, run.iterations) == (net, alone.iterations)
        np.testing.assert_allclose(net.flatten(run.parameters), net.flatten(alone.parameters), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(run.history.cost, alone.history.cost, rtol=1e-5)


def test_settings_that_are_trained_apart_make_one_population(tmp_path):
    grid = {"batch_size": [8, None], "learning_rate": [0.1, 0.2], "early_stopping": [None, fx.EarlyStopping(1)]}
    asked = {"folds": 2, "epochs": 6, "target_cost": 0.3, "backend": "numpy", "random_state": 0}
    table = fx.sweep(NET, X, Y, grid, **asked, checkpoint=tmp_path / "sweep.npz")
    assert len(table.population) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.npz"]
    for row in (0, 3, 6):
        own = {name: [value] for name, value in table[row].items() if name in grid}
        assert_same(fx.sweep(NET, X, Y, own, **asked).population, table.of(row))
    table.population.save(tmp_path / "whole.npz")
    assert_same(fx.load(tmp_path / "whole.npz"), table.population)
    watched = np.isfinite(table.population.history.validation_cost).any(axis=0)
    assert watched.reshape(2, 2, 2, 2).all(axis=(0, 1, 3)).tolist() == [False, True]


def test_all_settings_go_on_side_by_side():
    """One interrupt and one warning are for all of them."""
    grid = {"batch_size": [8, 12, 30]}
    asked = {"folds": 2, "epochs": 6, "backend": "numpy", "random_state": 0}

    def stop(moment):
        if moment.iteration[0] == 6:
            raise KeyboardInterrupt

    with pytest.raises(fx.TrainingInterrupted) as caught:
        fx.sweep(NET, X, Y, grid, callback=stop, **asked)
    assert caught.value.result.iterations.tolist() == [3, 3, 2, 2, 1, 1]  # where the callback has looked
    with pytest.warns(fx.DivergenceWarning, match=r"2 of 6 members diverged: 4, 5 ") as caught:
        fx.sweep(NET, X, Y, {"optimizer": [fx.SGD(0.1), fx.Adam(0.1), fx.SGD(1e9, momentum=0.9)]}, **asked)
    assert len(caught) == 1


def test_nothing_is_trained_before_all_settings_are_looked_at(tmp_path):
    for grid, message in (
        ({"batch_size": [8, 0]}, "batch_size must be at least 1"),
        ({"epochs": [1, -1]}, "epochs must be at least 0"),
        ({"initialization": ["he", "hee"]}, "did you mean 'he'"),
        ({"early_stopping": [None, fx.EarlyStopping()]}, "early_stopping needs validation"),
        ({"batch_size": [8, 9], "l2": [0.1, -1.0]}, "l2 must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            fx.sweep(NET, X, Y, grid, random_state=0, checkpoint=tmp_path / "sweep.npz", backend="numpy")
    assert not list(tmp_path.iterdir())


def test_settings_on_folds():
    grid = {"beta1": [0.5, 0.9], "clip_norm": [0.1, 10.0]}
    table = fx.sweep(NET, X, Y, grid, folds=4, backend="numpy", **ASKED)
    assert len(table) == 4
    assert len(table.population) == 16
    for number, row in enumerate(table):
        optimizer = fx.Adam(0.05, row["beta1"])
        asked = ASKED | {"optimizer": optimizer, "clip_norm": row["clip_norm"], "backend": "numpy"}
        folds = fx.cross_validate(NET, X, Y, folds=4, **asked)
        np.testing.assert_array_equal(flat(folds.population), flat(table.of(number)))
        for name in ("cost", "validation_cost", "score"):
            assert np.isclose(row[name], folds[name].mean())
        assert np.isclose(row["score_std"], folds["score"].std())
    best = table["validation_cost"].argmin()
    assert table.best == table[int(best)]


@pytest.mark.filterwarnings("ignore::fastxor.DivergenceWarning")
def test_settings_that_diverge_cost_the_others_nothing(core):
    net, asked = fx.Network([3, 5, 1], "relu", "identity"), {"iterations": 300, "random_state": 0, "backend": core}
    table = fx.sweep(net, X, Y, {"learning_rate": [0.01, 1e3, 1e200]}, folds=2, optimizer=fx.SGD(), **asked)
    assert table.population.diverged.tolist() == [False] * 2 + [True] * 4
    assert table["score"][1] < -1e100 or np.isnan(table["score"][1])
    assert np.isnan(table["score"][2])  # whose outputs are not finite
    np.testing.assert_allclose(
        table["score"][0], fx.cross_validate(net, X, Y, folds=2, optimizer=fx.SGD(0.01), **asked)["score"].mean()
    )
    assert table.best == table[0]


def test_settings_one_by_one_and_seeds():
    rows = [{"learning_rate": 0.1, "random_state": 3}, {"learning_rate": 0.2, "random_state": 4}]
    table = fx.sweep(NET, X, Y, iter(rows), target_cost=0.5, optimizer=fx.SGD(), iterations=50, backend="numpy")
    assert table.population.seeds.tolist() == [3, 4]
    assert table["learning_rate"].tolist() == [0.1, 0.2]
    assert {"converged", "iterations_to_target"} < set(table.columns)


def test_pandas_takes_it_either_way():
    table = fx.sweep(NET, X, Y, {"hidden": [2, (3, 2)], "learning_rate": [0.1, 0.2]}, backend="numpy", **ASKED)
    frame = pandas.DataFrame(table)
    assert list(frame.columns) == list(table.columns)
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(table.to_dict()))
    grid = {"hidden": pandas.Series([2, 3]), "learning_rate": pandas.Series([0.1, 0.2])}
    given = fx.sweep(NET, X, Y, grid, backend="numpy", **ASKED)
    assert [row["hidden"] for row in given] == [2, 2, 3, 3]
    assert given["learning_rate"].tolist() == [0.1, 0.2, 0.1, 0.2]
    table.to_dict()["cost"][:] = 0
    assert (table["cost"] > 0).all()


def test_it_is_short_to_look_at():
    table = fx.sweep(NET, X, Y, {"hidden": [2, 3]}, backend="numpy", **ASKED)
    assert repr(table).startswith("Table(2 rows, best: hidden ")
    assert len(repr(table)) < 100
    assert table[0:1] == [table[0]]
    assert table[True] == table[1]
    lines = str(table).split("\n")
    assert [line.split()[0] for line in lines] == ["hidden", "0", "1"]
    assert {line.split()[2] for line in lines[1:]} == {f"{cost:.6g}" for cost in table["cost"]}
    assert len({len(line) for line in lines}) == 1
    with pytest.raises(ValueError, match="column must be one of 'hidden', 'cost', 'iterations', got 'costs'"):
        table["costs"]


def test_of_a_long_table_the_ends_are_printed():
    rows = fx.sweep(TINY, *XOR, {"l2": np.linspace(0, 1, 100)}, backend="numpy", iterations=1, random_state=0)
    numbers = [line.split()[0] for line in str(rows).split("\n")]
    assert numbers == ["l2", *map(str, range(30)), "…", *map(str, range(70, 100))]


REFUSALS = {
    "one fold": (fx.cross_validate, {"folds": 1}, "folds must be at least 2"),
    "too many": (fx.cross_validate, {"folds": 41}, "folds must be at most 40"),
    "ragged": (fx.cross_validate, {"folds": [[0, 1], [2]]}, "folds must be how many there are, .* got list"),
    "kind": (fx.cross_validate, {"folds": object()}, "folds must be how many there are, .* got object"),
    "shape": (fx.cross_validate, {"folds": np.arange(39)}, "folds must be how many there are"),
    "same": (fx.cross_validate, {"folds": np.zeros(40, int)}, "the number of folds must be at least 2"),
    "empty": (fx.cross_validate, {"folds": np.zeros((2, 40), bool)}, "fold 0 holds out 0 and leaves 40"),
    "nothing left": (fx.cross_validate, {"folds": np.ones((2, 40), bool)}, "fold 0 holds out 40 and leaves 0"),
    "no folds": (fx.cross_validate, {"folds": []}, "folds must be how many there are"),
    "text": (fx.cross_validate, {"folds": "5"}, "folds must be how many there are, .* got str"),
    "both": (fx.cross_validate, {"folds": [([1, 2], [2])]}, r"got sample 2 in both of folds\[0\]"),
    "outside": (fx.cross_validate, {"folds": [([1], [40])]}, r"folds\[0\]\[1\] must be .* from 0 to 39, got 40"),
    "negative": (fx.cross_validate, {"folds": [([-1], [4])]}, r"folds\[0\]\[0\] must be .* from 0 to 39, got -1"),
    "again": (fx.cross_validate, {"folds": [([1, 1], [4])]}, r"folds\[0\]\[0\] must have each sample once, got 1"),
    "no number": (fx.cross_validate, {"folds": [([0.5], [4])]}, r"folds\[0\]\[0\] must be numbers of samples"),
    "seeds": (fx.cross_validate, {"random_state": [1, 2]}, "random_state must be None, an int"),
    "class": (fx.cross_validate, {"folds": Splitter}, "folds must be how many there are, .* got type"),
    "unlike folds": (fx.cross_validate, {"sample_weight": np.ones((4, 40))}, "or .folds, m. = .5, 40., got"),
    "rate": (fx.sweep, {"grid": {"lr": [0.1]}}, "did you mean 'learning_rate'"),
    "steps": (fx.sweep, {"grid": {"iterations": [3]}, "iterations": 3}, "grid has no setting 'iterations'"),
    "frame": (fx.sweep, {"grid": pandas.DataFrame({"l2": [0.1]})}, "grid must be a dict of the values"),
    "resume": (fx.sweep, {"resume": 3, "grid": {"l2": [0.1]}}, "resume must be left out"),
    "twice": (fx.sweep, {"grid": {"l2": [0.1]}, "l2": 0.1}, "l2 must be left out"),
    "rates": (fx.sweep, {"grid": {"l2": [0.1]}, "optimizer": fx.SGD([0.1])}, "learning_rate must be one number"),
    "each": (fx.sweep, {"grid": {"l2": [0.1]}, "l1": [0.1]}, "l1 must be the same for all settings"),
    "mask": (fx.sweep, {"grid": {"l2": [0.1]}, "validation": np.ones((1, 40), bool)}, "validation must be .X, Y. or a"),
    "sets": (fx.sweep, {"grid": {"l2": [0.1]}, "sample_weight": np.ones((1, 40))}, "sample_weight must be the same"),
    "losses": (fx.sweep, {"grid": {"network": [NET, fx.Network([3, 1], output="identity")]}}, "must have one loss"),
    "no network": (fx.sweep, {"grid": {"network": ["relu"]}}, r"grid\['network'\] must have Networks, got 'relu'"),
    "activations": (fx.sweep, {"grid": {"hidden": ["relu"], "activation": ["tanh"]}}, "activation must be left out"),
    "seed": (fx.sweep, {"grid": {"random_state": [-1]}}, "random_state must be at least 0"),
    "validation": (fx.cross_validate, {"validation": 0.2}, "validation must be left out"),
    "members": (fx.sweep, {"members": 3, "grid": {"l2": [0.1]}}, "members must be left out"),
    "network": (fx.cross_validate, {"network": 3}, "network must be a Network, got 3"),
    "unknown": (fx.sweep, {"grid": {"learning_rat": [0.1]}}, "did you mean 'learning_rate'"),
    "other optimizer": (fx.sweep, {"grid": {"beta1": [0.1]}, "optimizer": fx.SGD()}, "grid has no setting 'beta1'"),
    "flag": (fx.sweep, {"grid": {"amsgrad": [True]}}, "there are learning_rate, beta1, beta2, epsilon, l2, l1, "),
    "scalar": (fx.sweep, {"grid": {"l2": 0.1}}, r"grid\['l2'\] must be a sequence of values"),
    "nothing": (fx.sweep, {"grid": {}}, "grid must have a value of a setting"),
    "no values": (fx.sweep, {"grid": {"l2": []}}, "grid must have a value of a setting"),
    "list": (fx.sweep, {"grid": 3}, "grid must be a dict of the values"),
    "unlike": (fx.sweep, {"grid": [{"l2": 0.1}, {"l1": 0.1}]}, "grid must have the same names in each"),
    "units": (fx.sweep, {"grid": {"hidden": [0]}}, r"sizes\[1\] must be at least 1"),
    "value": (fx.sweep, {"grid": {"l2": [-1.0]}}, "l2 must be finite and not negative"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    function, arguments, message = REFUSALS[name]
    arguments = {"network": NET, "backend": "numpy"} | ASKED | arguments
    with pytest.raises((TypeError, ValueError), match=message):
        function(arguments.pop("network"), X, Y, **arguments)
