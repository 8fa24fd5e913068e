"""fastxor's peers: a module for each, imported in a process of its own; any of them may be missing.

A peer module has `KINDS`, the kinds of problems it knows; `contenders(problem, threads)`, the ways it has of solving
one; and `version()`. Importing it raises ImportError where its library is not installed.
"""

_EXTRA = "pip install 'fastxor-nn[peers]'"

# what they are called on the command line, and how to get them
PEERS = {
    "numpy": "pip install numpy",
    "c": "install gcc, with your system's packages",
    "jax": _EXTRA,
    "torch": _EXTRA,
    "sklearn": _EXTRA,
}
