"""What the core itself can do, seen in the run: its clock, and its peak of multiply-adds in registers.

The loops are written in LLVM's own language, so that there is nothing in them but what is to be timed.
"""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import llvmlite.binding as llvm

SUMS = 12  # independent, so that no multiply-add waits for another one; they fit into 16 registers
CHAIN = 64
LEA, ADD = "leaq ($1, $2), $0", "add $0, $1, $2"  # neither touches the flags that the loop around it may need
ADDITION = {"x86_64": LEA, "AMD64": LEA, "aarch64": ADD, "arm64": ADD}

NEWLINE = "\n        "

Loop = Callable[[int], object]


def widths() -> tuple[int, ...]:
    """Bits of the vectors that this CPU has, those of SSE and NEON only where there is nothing wider."""
    features = llvm.get_host_cpu_features()
    return (256,) * bool(features.get("avx2")) + (512,) * bool(features.get("avx512f")) or (128,)


def _multiply_adds(width: int, bits: int) -> Loop:
    """`SUMS` vector multiply-adds of numbers of this many bits, again and again: s <- s / 2 + 1 / 2."""
    lanes, number = width // bits, {32: "float", 64: "double"}[bits]
    vector, fma = f"<{lanes} x {number}>", f"@llvm.fma.v{lanes}f{bits}"
    starts = [f"<{', '.join([f'{number} {i}.0'] * lanes)}>" for i in range(SUMS)]  # all different, or they would be one
    steps = [f"%new{i} = call {vector} {fma}({vector} %old{i}, {vector} %half, {vector} %half)" for i in range(SUMS)]
    before = [
        f"%one = insertelement {vector} poison, {number} %given, i32 0",
        f"%half = shufflevector {vector} %one, {vector} poison, <{lanes} x i32> zeroinitializer",
    ]
    after = [f"%all{i} = fadd {vector} {f'%all{i - 1}' if i > 1 else '%new0'}, %new{i}" for i in range(1, SUMS)]
    after.append(f"%result = extractelement {vector} %all{SUMS - 1}, i32 0")
    declared = f"declare {vector} {fma}({vector}, {vector}, {vector})"
    loop = _compiled(number, vector, starts, steps, before, after, declared)
    return lambda count: loop(count, 0.5)


def _additions() -> Loop:
    """A chain of integer additions, each of which takes the one before: one a cycle on every CPU."""
    names = ["%old0", *(f"%sum{i}" for i in range(1, CHAIN)), "%new0"]
    add = f'call i64 asm "{ADDITION[platform.machine()]}", "=r,r,r"'
    steps = [f"{new} = {add}(i64 {old}, i64 %given)" for old, new in pairwise(names)]
    loop = _compiled("i64", "i64", ["0"], steps, [], ["%result = add i64 %new0, 0"])
    return lambda count: loop(count, 3)


def _compiled(
    number: str, kind: str, starts: list[str], steps: list[str], before: list[str], after: list[str], declared: str = ""
) -> Callable[[int, float], object]:
    """A function of a count and of %given: so often, the steps make %new0, ... of %old0, ..., at first `starts`.

    What stands `after` makes %result of all that is new, or there would be no need to compute it.
    """
    phis = [f"%old{i} = phi {kind} [{start}, %entry], [%new{i}, %loop]" for i, start in enumerate(starts)]
    text = f"""{declared}
    define {number} @loop(i64 %count, {number} %given) {{
    entry:
        {NEWLINE.join([*before, "br label %loop"])}
    loop:
        %done = phi i64 [0, %entry], [%next, %loop]
        {NEWLINE.join([*phis, *steps])}
        %next = add i64 %done, 1
        %more = icmp slt i64 %next, %count
        br i1 %more, label %loop, label %end
    end:
        {NEWLINE.join(after)}
        ret {number} %result
    }}"""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), _target())
    engine.finalize_object()
    types: dict[str, type[ctypes._SimpleCData[Any]]]
    types = {"float": ctypes.c_float, "double": ctypes.c_double, "i64": ctypes.c_int64}
    function = ctypes.CFUNCTYPE(types[number], ctypes.c_int64, types[number])(engine.get_function_address("loop"))
    return lambda *arguments: (function(*arguments), engine)[0]  # the code lives as long as the engine


def _target() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(llvm.get_host_cpu_name(), features, opt=3)


def _rate(loop: Loop, work: int, count: int = 200_000) -> float:
    """Units of work per second, the best of several short runs."""
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        loop(count)
        best = min(best, time.perf_counter() - start)
    return work * count / best


def peaks() -> dict[str, float]:
    """Floating-point operations per second on one core, two to a multiply-add, by dtype: at the best vector width."""
    return {
        f"float{bits}": max(_rate(_multiply_adds(width, bits), 2 * SUMS * width // bits) for width in widths())
        for bits in (32, 64)
    }


def clock() -> float | None:
    """Cycles per second, where this machine's addition is known."""
    return _rate(_additions(), CHAIN) if platform.machine() in ADDITION else None
