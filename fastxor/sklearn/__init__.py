"""scikit-learn's multi-layer perceptrons on fastxor's cores: the import is all that changes.

- `MLPClassifier`: two classes, several, or several labels at once
- `MLPRegressor`: numbers, or counts with the Poisson loss
- `GridSearchCV` and `RandomizedSearchCV`: scikit-learn's searches, whose candidates train side by side in this process

Parameters, defaults, attributes and, in float64, numbers are scikit-learn's. Needs scikit-learn 1.7 or newer:
``pip install 'fastxor-nn[sklearn]'``.

>>> from sklearn.datasets import load_iris
>>> from fastxor.sklearn import MLPClassifier
>>> X, y = load_iris(return_X_y=True)
>>> model = MLPClassifier(hidden_layer_sizes=(16,), learning_rate_init=0.02, random_state=0).fit(X, y)
>>> model.score(X, y) > 0.95
True
"""

try:
    import sklearn as _sklearn  # noqa: F401 - is it there?
except ImportError as _error:
    raise ImportError(
        "fastxor.sklearn needs scikit-learn, the optional extra 'sklearn': pip install 'fastxor-nn[sklearn]'"
    ) from _error

from fastxor.sklearn.mlp import MLPClassifier, MLPRegressor
from fastxor.sklearn.search import GridSearchCV, RandomizedSearchCV

__all__ = ["GridSearchCV", "MLPClassifier", "MLPRegressor", "RandomizedSearchCV"]
