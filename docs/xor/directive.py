"""XOR to play with: a directive that trains the tutorial's network and puts the run into the page.

The run's weights at every 20th iteration go into the page as JSON, next to the script that computes the network from
them: the page asks nothing of any server, and opens from a disk.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import fastxor as fx

HERE = Path(__file__).resolve().parent
FILES = {"markup": "widget.html", "style": "widget.css", "script": "widget.js"}
ITERATIONS, EVERY = 1000, 20


def run() -> dict[str, Any]:
    """The tutorial's run: samples, and a frame of iteration, cost and weights for every 20th iteration."""
    X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    net = fx.Network([2, 2, 1], hidden="tanh", output="sigmoid")
    start = fx.initialize_parameters(2, 2, 1, random_state=2)
    frames: list[dict[str, Any]] = []

    def keep(moment: fx.Moment) -> None:
        weights = {name: np.round(array, 6).tolist() for name, array in moment.parameters.items()}
        frames.append({"iteration": moment.iteration, "cost": round(moment.cost, 6), **weights})

    fx.train(
        net, X, Y, parameters=start, optimizer=fx.SGD(0.3), iterations=ITERATIONS + 1, interval=EVERY, callback=keep
    )
    return {"X": X, "Y": Y, "frames": frames}


def fragment() -> str:
    """The whole of it, as HTML."""
    markup, style, script = ((HERE / name).read_text(encoding="utf-8") for name in FILES.values())
    content = run()
    return Template(markup).substitute(
        style=style, script=script, run=json.dumps(content), last=len(content["frames"]) - 1
    )


class Xor(SphinxDirective):
    """XOR to play with; takes nothing."""

    def run(self) -> list[nodes.Node]:
        for name in FILES.values():
            self.env.note_dependency(str(HERE / name))
        return [nodes.raw("", fragment(), format="html")]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("xor", Xor)
    return {"parallel_read_safe": True}
