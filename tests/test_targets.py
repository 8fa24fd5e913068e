"""The kernels' IR compiles for other CPUs: nothing in it assumes x86 or a vector width.

It is taken as it is written, before LLVM optimises it for this machine, which takes longest, and written out without
much ado: which instructions there are is settled by then. `test_cache.py` has another CPU, for what it has compiled.
"""

import json

import pytest
from support import run_python

BUILD = """
import ctypes, json, re, sys
from pathlib import Path
import llvmlite.binding as llvm
import numpy as np

# Nothing is run here: kernels need no machine code of this CPU, but a place where Numba writes what they refer to.
place = ctypes.create_string_buffer(64)
llvm.ExecutionEngine.finalize_object = lambda engine: None
llvm.ExecutionEngine.get_function_address = lambda engine, name: 1
llvm.ExecutionEngine.get_global_value_address = lambda engine, name: ctypes.addressof(place)

import fastxor as fx
from fastxor.backends.fused import kernels, specialised

triple, cpu, features, dtype, *known = sys.argv[1:]
functions = [kernels.logistic, kernels.cost, kernels.descend]
functions += [] if known else [kernels.engine]
for function in functions:
    function[np.dtype(dtype)]
for sizes in ([2, 2, 1], [2, 8, 1]):  # in registers, and neurons side by side
    net = fx.Network(sizes)
    functions.append(specialised.kernel_for(net, 4, np.dtype("float32")))
    functions[-1][np.dtype("float32")]
compiled = [dispatcher for function in functions for dispatcher in function.dispatchers.values()]
texts = [Path(file).read_text() for file in known]
texts += [text for dispatcher in compiled for text in dispatcher.inspect_llvm().values()]
# LLVM, when it reads a name of over 1,024 characters, as inlining makes them, forgets the rest and takes two for one.
short = {}
long_name = re.compile(r"(?m)(?:^|(?<=%))[\\w.$-]{256,}")
texts = [long_name.sub(lambda name: short.setdefault(name[0], f"n{len(short)}"), text) for text in texts]
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


def builds(folder, bits, dtype, triple, cpu, features, instruction, *known):
    """Kernels for this width; `known` are files of IR that take the engine's place. (Many arguments: a table's row.)"""
    environment = {"FASTXOR_VECTOR_BITS": str(bits), "NUMBA_CACHE_DIR": str(folder), "NUMBA_OPT": "0"}
    done = run_python("-c", BUILD, triple, cpu, features, dtype, *known, cwd=folder, env=environment)
    told = json.loads(done.stdout)
    assert len(told) == 4 + 2  # two are made for a network
    assert max(counts[instruction] for counts in told) > 100  # whole vectors, multiplied and added in one instruction
    assert all(counts[r"\bfmaf?\b"] == 0 for counts in told)  # and no call of the C library's fma


@pytest.mark.takes_seconds
def test_builds_for_the_most_numbers_in_a_vector(tmp_path):
    cpu = "x86_64-unknown-linux-gnu", "skylake-avx512", "-prefer-256-bit"
    builds(tmp_path, 512, "float32", *cpu, r"vfmadd\d+p[sd].*zmm")
