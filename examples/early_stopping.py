"""
Stopping in time
================

A network with more parameters than samples sooner or later learns their noise. Samples that are held out show when:
`fastxor.EarlyStopping` ends the run and returns to its best moment.
"""

# %%
# Two classes that overlap, so no boundary is right about all samples.

import matplotlib.pyplot as plt
import numpy as np

import fastxor as fx

rng = np.random.default_rng(0)


def moons(m):
    """Two interlocking half circles, with noise: samples (2, m), classes (1, m)."""
    labels = rng.integers(2, size=(1, m))
    angle = np.pi * rng.random(m)
    side = 1 - 2 * labels[0]
    X = np.stack([side * np.cos(angle) + labels[0], side * np.sin(angle) + 0.5 * labels[0]])
    return X + rng.normal(scale=0.3, size=(2, m)), labels


X, Y = moons(200)
X_new, Y_new = moons(2000)

# %%
# ``validation=0.3`` holds out 30 % of the samples of each class. The first run goes to its end; the second stops when
# its validation cost has not improved for 20 records.

net = fx.Network([2, 32, 32, 1], hidden="relu", output="sigmoid")
settings = {"epochs": 300, "batch_size": 20, "validation": 0.3, "random_state": 0}
full = fx.train(net, X, Y, optimizer=fx.Adam(0.01), **settings)
stop = fx.EarlyStopping(patience=20)
stopped = fx.train(net, X, Y, optimizer=fx.Adam(0.01), early_stopping=stop, **settings)
for name, run in {"to the end": full, "stopped": stopped}.items():
    print(f"{name}: {run.history.epoch[-1]} epochs, cost of new samples {run.cost(X_new, Y_new):.3f}")

# %%
# The boundaries, and the costs of the first run; the dotted line is where the second one stopped.

side = np.linspace(-2.2, 3.2, 150), np.linspace(-1.8, 2.4, 150)
grid = np.stack(np.meshgrid(*side)).reshape(2, -1)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for ax, (name, run) in zip(axes, {"to the end": full, "stopped": stopped}.items(), strict=False):
    answers = run.forward(grid).reshape(150, 150)
    ax.contourf(*side, answers, levels=10, cmap="RdBu_r", vmin=0, vmax=1, alpha=0.7)
    ax.scatter(*X, c=Y[0], cmap="RdBu_r", edgecolors="black", s=15)
    ax.set(title=name, xlabel="first input", ylabel="second input")
full.history.plot(ax=axes[2])
axes[2].axvline(stopped.iterations, color="gray", linestyle=":")
plt.show()
