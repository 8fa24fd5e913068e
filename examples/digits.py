"""
Reading digits
==============

Pictures of 8 x 8 pixels, ten classes, mini-batches: like scikit-learn's digits, but drawn by the program itself, so
there is nothing to download.
"""

# %%
# Each digit is made of up to seven strokes, as on a calculator, then moved, dimmed, and covered with noise.

import matplotlib.pyplot as plt
import numpy as np

import fastxor as fx

rng = np.random.default_rng(0)
STROKES = {  # rows and columns of a picture that a stroke covers
    "top": (slice(0, 1), slice(0, 4)),
    "upper left": (slice(0, 4), slice(0, 1)),
    "upper right": (slice(0, 4), slice(3, 4)),
    "middle": (slice(3, 4), slice(0, 4)),
    "lower left": (slice(3, 7), slice(0, 1)),
    "lower right": (slice(3, 7), slice(3, 4)),
    "bottom": (slice(6, 7), slice(0, 4)),
}
LIT = ["1110111", "0010010", "1011101", "1011011", "0111010"]  # strokes of 0 to 4
LIT += ["1101011", "1101111", "1010010", "1111111", "1111011"]  # and of 5 to 9


def glyph(digit):
    picture = np.zeros((7, 4))
    for place, on in zip(STROKES.values(), LIT[digit], strict=True):
        picture[place] = np.maximum(picture[place], int(on))
    return picture


def draw(m):
    """Pictures as columns, (64, m) in float32, and their digits (m,)."""
    digits = rng.integers(10, size=m)
    pictures = rng.normal(scale=0.25, size=(m, 8, 8)).astype(np.float32)
    places = rng.integers(2, size=m), rng.integers(5, size=m)
    for picture, digit, down, right in zip(pictures, digits, *places, strict=True):
        picture[down : down + 7, right : right + 4] += rng.uniform(0.6, 1.2) * glyph(digit)
    return pictures.reshape(m, 64).T, digits


X, Y = draw(4000)
X_new, Y_new = draw(1000)

# %%
# With float32 data, training is in float32. Class numbers serve as targets.

net = fx.Network([64, 64, 10], hidden="relu", output="softmax")
run = fx.train(
    net,
    X,
    Y,
    optimizer=fx.Adam(0.002),
    epochs=40,
    batch_size=32,
    l2=1e-3,
    validation=(X_new, Y_new),
    early_stopping=fx.EarlyStopping(patience=5),
    random_state=0,
)
answers = run.predict(X_new)
print(f"{run.history.epoch[-1]} epochs, {(answers == Y_new).mean():.1%} of the new pictures read right")

# %%
# Which digits it mistakes for which, and some pictures that it got wrong.

confusion = np.zeros((10, 10), int)
np.add.at(confusion, (Y_new, answers), 1)
wrong = np.flatnonzero(answers != Y_new)[:12]
figure, axes = plt.subplot_mosaic(
    [["confusion", *range(4)], ["confusion", *range(4, 8)], ["confusion", *range(8, 12)]],
    figsize=(10, 4),
    width_ratios=[4, 1, 1, 1, 1],
    layout="constrained",
)
axes["confusion"].imshow(np.log1p(confusion), cmap="Blues")
axes["confusion"].set(xlabel="read as", ylabel="is", xticks=range(10), yticks=range(10))
for place in range(12):
    axes[place].axis("off")
for place, i in enumerate(wrong):
    axes[place].imshow(X_new[:, i].reshape(8, 8), cmap="gray")
    axes[place].set_title(f"{Y_new[i]} as {answers[i]}", fontsize=9)
plt.show()
