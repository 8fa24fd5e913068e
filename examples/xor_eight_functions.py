"""
XOR with the tutorial's eight functions
=======================================

The from-scratch tutorial's own loop, its functions imported instead of written out: forward, cost, backward, update.
Then the same run in one call.
"""

# %%
# The four samples stand side by side, features down. Two hidden units are enough for the exclusive or.

import matplotlib.pyplot as plt
import numpy as np

import fastxor as fx

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])
parameters = fx.initialize_parameters(2, 2, 1, random_state=2)

costs = []
for _step in range(1001):
    A2, cache = fx.forward_prop(X, parameters)
    costs.append(fx.calculate_cost(A2, Y))
    grads = fx.backward_prop(X, Y, cache, parameters)
    parameters = fx.update_parameters(parameters, grads, 0.3)

print("the truth table:", fx.predict(X, parameters))

# %%
# `fastxor.model` is that loop. It stays in the compiled core from the first step to the last, and prints what the
# tutorial prints.

same = fx.model(X, Y, 2, 2, 1, 1000, 0.3, random_state=2)
print("the same weights:", all(np.allclose(same[name], parameters[name]) for name in same))

# %%
# What it has learned is a band: inside it the answer is 1.

side = np.linspace(-0.5, 1.5, 121)
grid = np.stack(np.meshgrid(side, side)).reshape(2, -1)
answers = fx.forward_prop(grid, parameters)[0].reshape(side.size, side.size)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.contourf(side, side, answers, levels=20, cmap="RdBu_r", vmin=0, vmax=1)
left.contour(side, side, answers, levels=[0.5], colors="black")
left.scatter(*X, c=Y[0], cmap="gray", edgecolors="black", s=80, zorder=2)
left.set(title="its answer", xlabel="first input", ylabel="second input", aspect="equal")
right.semilogy(costs)
right.set(title="training", xlabel="iteration", ylabel="cost")
plt.show()
