"""
A loss of your own: quantiles
=============================

`fastxor.Network.vjp` returns the outputs and their pullback, so any function of the outputs can be a loss: here, for
three quantiles of a quantity whose noise grows.
"""

# %%
# Half of the samples should lie below the second curve, one in ten below the first and above the third.

import matplotlib.pyplot as plt
import numpy as np

import fastxor as fx

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (1, 600))
y = np.sin(3 * x) + rng.normal(size=x.shape) * (0.1 + 0.25 * (1 + x))
quantiles = np.array([[0.1], [0.5], [0.9]])


def pinball(A, y):
    """The quantiles' loss, and its derivative with respect to the outputs A, (3, m)."""
    error = y - A
    slope = np.where(error > 0, -quantiles, 1 - quantiles)
    return np.mean(-slope * error), slope / error.size


# %%
# Training is a loop of your own: outputs, loss, pullback, step. Adam is a few lines of numpy on the flat vector.

net = fx.Network([1, 16, 3], hidden="tanh", output="identity")
theta = net.flatten(net.initialize(0))
mean, square = np.zeros_like(theta), np.zeros_like(theta)
losses = []
for step in range(1, 3001):
    A, pullback = net.vjp(net.unflatten(theta), x)
    loss, slope = pinball(A, y)
    losses.append(loss)
    grads, _dX = pullback(slope)
    g = net.flatten(grads)
    mean += 0.1 * (g - mean)
    square += 0.001 * (g**2 - square)
    theta -= 0.01 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)

below = (y < net.forward(net.unflatten(theta), x)).mean(axis=1)
print("samples below each curve:", below.round(3))

# %%
# The curves spread as the noise grows.

fine = np.linspace(-1, 1, 200)[None, :]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(x[0], y[0], ".", color="lightgray", markersize=4)
for curve, name in zip(net.forward(net.unflatten(theta), fine), ("10 %", "50 %", "90 %"), strict=True):
    left.plot(fine[0], curve, label=name)
left.legend()
left.set(title="quantiles", xlabel="x", ylabel="y")
right.plot(losses)
right.set(title="training", xlabel="step", ylabel="loss")
plt.show()
