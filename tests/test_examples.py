"""The worked examples run, and draw the same picture each time."""

import importlib.util
import re
import sys

import numpy as np
import pytest
from support import ROOT

import fastxor as fx


@pytest.fixture
def convergence():
    spec = importlib.util.spec_from_file_location("convergence", ROOT / "examples" / "convergence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shares_are_those_of_single_runs(convergence):
    rates = np.array([0.3, 3.0])
    with fx.use_backend("numpy"):
        shares = convergence.converged(2, 6, rates)
        starts = fx.train_population(
            fx.Network([2, 2, 1]), convergence.X, convergence.Y, members=6, initialization="normal", random_state=2,
            iterations=0,
        )  # fmt: skip
        for rate, share in zip(rates, shares, strict=True):
            asked = {"optimizer": fx.SGD(rate), "iterations": 1000}
            runs = [
                fx.train(fx.Network([2, 2, 1]), convergence.X, convergence.Y, parameters=start.parameters, **asked)
                for start in starts
            ]
            assert share == np.mean([run.cost(convergence.X, convergence.Y) <= convergence.LEARNED for run in runs])


def test_the_picture(convergence, tmp_path, capsys):
    paths = [tmp_path / "one.svg", tmp_path / "other.svg"]
    with fx.use_backend("numpy"):
        for path in paths:
            convergence.main(["--starts", "4", "--rates", "2", "--hidden", "3", "2", "--output", str(path)])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "10 networks trained in" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        convergence.main(["--rates", "0"])
    assert "--rates and --hidden must be at least 1" in capsys.readouterr().err
    kept = (ROOT / "docs" / "images" / "convergence.svg").read_text(encoding="utf-8")
    for svg in (kept, paths[0].read_text(encoding="utf-8")):
        assert re.search("<svg .*</svg>", svg, re.DOTALL)


def test_without_matplotlib_no_network_is_trained(convergence, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(convergence, "converged", None)
    with pytest.raises(SystemExit):
        convergence.main([])
    assert "pip install matplotlib" in capsys.readouterr().err
