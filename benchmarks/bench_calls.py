"""asv: single calls from Python, validation included. A figure is the seconds of one call.

There is no `setup`, with which asv would time calls one by one: what a call needs is made once and kept.
"""

import functools

import fastxor as fx
from benchmarks.problems import PROBLEMS

BACKENDS = ["numpy", "numba"]

fx.warmup()  # asv forks its processes from one that has imported all benchmarks: no calibration sees a compiler


@functools.cache
def prepared(name):
    """Network, data, parameters as the network hands them out, and an optimizer."""
    problem = PROBLEMS[name]
    net, (X, Y) = problem.network, problem.data
    return net, X, Y, net.initialize(0, dtype=problem.dtype), fx.SGD(problem.learning_rate)


class Calls:
    """One step of training, the gradient alone, forward alone, and a prediction for one sample."""

    cases = ("xor", "gradient", "predict", "mid")
    param_names = ["case", "backend"]
    params = (cases, BACKENDS)
    rounds = 2
    repeat = (5, 20, 2.0)
    sample_time = 0.02
    warmup_time = 0.1  # which is also when a kernel is loaded, or compiled
    timeout = 120

    def time_step(self, name, backend):
        net, X, Y, parameters, optimizer = prepared(name)
        fx.train(net, X, Y, parameters=parameters, optimizer=optimizer, iterations=1, backend=backend)

    def time_gradient(self, name, backend):
        net, X, Y, parameters, _ = prepared(name)
        net.gradient(parameters, X, Y, backend=backend)

    def time_forward(self, name, backend):
        net, X, _, parameters, _ = prepared(name)
        net.forward(parameters, X, backend=backend)

    def time_predict_one(self, name, backend):
        net, X, _, parameters, _ = prepared(name)
        net.predict(parameters, X[:, :1], backend=backend)
