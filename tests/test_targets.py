"""The kernels' IR compiles for other CPUs: nothing in it assumes x86 or a vector width.

It is taken as it is written, before LLVM optimises it for this machine, which takes longest, and written out without
much ado: which instructions there are is settled by then.
"""

import json

import pytest
from support import run_python

BUILD = """
import json, re, sys
import llvmlite.binding as llvm
import numpy as np
import fastxor as fx
from fastxor.backends.fused import kernels, specialised

triple, cpu, features, dtype = sys.argv[1:]
functions = [kernels.engine, kernels.logistic, kernels.cost, kernels.descend]
for function in functions:
    function[np.dtype(dtype)]
for sizes in ([2, 2, 1], [2, 8, 1]):  # in registers, and neurons side by side
    net = fx.Network(sizes)
    functions.append(specialised.kernel_for(net, 4, np.dtype("float32")))
    functions[-1][np.dtype("float32")]
compiled = [dispatcher for function in functions for dispatcher in function.dispatchers.values()]
texts = [text for dispatcher in compiled for text in dispatcher.inspect_llvm().values()]
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=0)
words = r"fmla\\s+v", r"vfmadd\\d+p[sd].*zmm", r"\\bfmaf?\\b"
counts = []
for ir in texts:
    ir = re.sub(r'target triple = ".*"', f'target triple = "{triple}"', ir)
    ir = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', ir)
    module = llvm.parse_assembly(re.sub(r'"target-(cpu|features)"="[^"]*"', "", ir))
    module.verify()
    assembly = machine.emit_assembly(module)
    counts.append([len(re.findall(word, assembly)) for word in words])
print(json.dumps([dict(zip(words, numbers)) for numbers in counts]))
"""


@pytest.mark.takes_seconds
@pytest.mark.parametrize(
    ("bits", "dtype", "triple", "cpu", "features", "instruction"),
    [
        (128, "float64", "aarch64-unknown-linux-gnu", "generic", "+neon", r"fmla\s+v"),
        (512, "float32", "x86_64-unknown-linux-gnu", "skylake-avx512", "-prefer-256-bit", r"vfmadd\d+p[sd].*zmm"),
    ],
)
def test_builds_for(tmp_path, bits, dtype, triple, cpu, features, instruction):
    """With the fewest numbers in a vector, and with the most."""
    environment = {"FASTXOR_VECTOR_BITS": str(bits), "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "0"}
    done = run_python("-c", BUILD, triple, cpu, features, dtype, cwd=tmp_path, env=environment)
    told = json.loads(done.stdout)
    assert len(told) == 4 + 2  # two are made for a network
    assert told[0][instruction] > 100  # whole vectors, multiplied and added in one instruction
    assert all(counts[r"\bfmaf?\b"] == 0 for counts in told)  # and no call of the C library's fma
