"""asv: what a user waits for before anything is trained. A figure is the seconds of a whole fresh process."""

import os
import subprocess
import sys
import tempfile

STEPS = {
    "python alone": "",
    "import numpy": "import numpy",
    "import fastxor": "import fastxor",
    "import numba": "import numba",
    "first gradient": """
import fastxor as fx
net = fx.Network([2, 2, 1])
net.gradient(net.initialize(0), [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]])
""",
    "tutorial, 1000 iterations": """
import fastxor
fastxor.model([[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]], 2, 2, 1, 1000, 0.3, print_cost=False)
""",
    "4-32-16-4, 10,000 samples, 100 iterations": """
import numpy as np
import fastxor as fx
X = np.random.default_rng(0).standard_normal((4, 10_000), "f4")
fx.train(fx.Network([4, 32, 16, 4], output="identity"), X, X, optimizer=fx.Adam(), iterations=100)
""",
}


class _Fresh:
    number = 1
    rounds = 1
    warmup_time = 0
    timeout = 300

    def start(self, step, cache=None):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        if cache:
            environment["NUMBA_CACHE_DIR"] = cache
        subprocess.run([sys.executable, "-c", STEPS[step]], check=True, env=environment)


class Warm(_Fresh):
    """With the kernels in the cache, where a first process has put them."""

    param_names = ["process"]
    params = [list(STEPS)]
    repeat = (3, 10, 10.0)
    cached = set()

    def setup(self, step):
        if step not in self.cached:
            self.cached.add(step)
            self.start(step)

    def time_process(self, step):
        self.start(step)


class Cold(_Fresh):
    """With an empty cache: everything is compiled."""

    param_names = ["process"]
    params = [["first gradient"]]
    repeat = (2, 3, 30.0)

    def setup(self, step):
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self, step):
        self.folder.cleanup()

    def time_process(self, step):
        self.start(step, self.folder.name)
