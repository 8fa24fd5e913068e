"""
A curve through noisy points
============================

A network of one input and one output is a smooth curve, here fitted by least squares. With few parameters,
`fastxor.LevenbergMarquardt` needs a few steps where descent needs thousands; and the curve's slope comes with it.
"""

# %%
# Noisy samples of a function that oscillates faster and faster.

import matplotlib.pyplot as plt
import numpy as np

import fastxor as fx

rng = np.random.default_rng(3)
x = np.sort(rng.uniform(-2.2, 2.2, 150))[None, :]


def curve(x):
    return np.sin(1.5 * x + 0.8 * x**2)


y = curve(x) + rng.normal(scale=0.05, size=x.shape)

# %%
# The same network and first weights, three optimizers. ``interval`` says how often the cost is recorded.

net = fx.Network([1, 6, 1], hidden="tanh", output="identity")
optimizers = {
    "Adam": (fx.Adam(0.01), 2000),
    "Rprop": (fx.Rprop(), 2000),
    "Levenberg-Marquardt": (fx.LevenbergMarquardt(), 30),
}
runs = {
    name: fx.train(net, x, y, optimizer=optimizer, iterations=iterations, interval=1, random_state=0)
    for name, (optimizer, iterations) in optimizers.items()
}
for name, run in runs.items():
    print(f"{name}: cost {run.cost(x, y):.5f} after {run.iterations} steps")

# %%
# On the right is the derivative of the fitted curve, from `fastxor.Network.jacobian`, beside the true one.

best = runs["Levenberg-Marquardt"]
fine = np.linspace(-2, 2, 400)[None, :]
slope = net.jacobian(best.parameters, fine)[0, 0]

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for name, run in runs.items():
    left.loglog(1 + run.history.iteration, run.history.cost, label=name)
left.set(title="training", xlabel="step", ylabel="cost")
left.legend()
middle.plot(x[0], y[0], ".", color="gray", label="samples")
middle.plot(fine[0], curve(fine)[0], "--", color="black", label="truth")
middle.plot(fine[0], best.forward(fine)[0], color="tab:red", label="network")
middle.set(title="the curve", xlabel="x", ylabel="y")
middle.legend()
truth = (1.5 + 1.6 * fine[0]) * np.cos(1.5 * fine[0] + 0.8 * fine[0] ** 2)
right.plot(fine[0], truth, "--", color="black")
right.plot(fine[0], slope, color="tab:red")
right.set(title="its slope", xlabel="x", ylabel="dy / dx")
plt.show()
