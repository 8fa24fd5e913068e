"""Searches."""

from sklearn.model_selection import GridSearchCV as GridSearchCV
from sklearn.model_selection import RandomizedSearchCV as RandomizedSearchCV
