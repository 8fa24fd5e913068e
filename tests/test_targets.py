"""The kernels' IR compiles for other CPUs: nothing in it assumes x86 or a vector width."""

import json

import pytest
from support import run_python

BUILD = """
import json, re, sys
import llvmlite.binding as llvm
import fastxor as fx
from fastxor.backends.fused import kernels

net = fx.Network([1, 1])
net.forward(net.initialize(0), [[1.0]])
(ir,) = kernels.engine.inspect_llvm().values()
triple, cpu, features = sys.argv[1:]
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
ir = re.sub(r'target triple = ".*"', f'target triple = "{triple}"', ir)
ir = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', ir)
module = llvm.parse_assembly(re.sub(r'"target-(cpu|features)"="[^"]*"', "", ir))
module.verify()
assembly = machine.emit_assembly(module)
words = r"fmla\\s+v", r"vfmadd\\d+pd.*zmm", r"\\bfma\\b"
print(json.dumps({word: len(re.findall(word, assembly)) for word in words}))
"""


@pytest.mark.parametrize(
    ("bits", "triple", "cpu", "features", "instruction"),
    [
        (128, "aarch64-unknown-linux-gnu", "generic", "+neon", r"fmla\s+v"),
        (512, "x86_64-unknown-linux-gnu", "skylake-avx512", "-prefer-256-bit", r"vfmadd\d+pd.*zmm"),
    ],
)
def test_builds_for(tmp_path, bits, triple, cpu, features, instruction):
    environment = {"FASTXOR_VECTOR_BITS": str(bits), "NUMBA_CACHE_DIR": str(tmp_path)}
    done = run_python("-c", BUILD, triple, cpu, features, cwd=tmp_path, env=environment)
    told = json.loads(done.stdout)
    assert told[instruction] > 100  # whole vectors, multiplied and added in one instruction
    assert told[r"\bfma\b"] == 0  # and no call of the C library's fma
