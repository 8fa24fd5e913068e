"""What the core itself can do, seen in the run: its clock, and its peak of multiply-adds in registers."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

SUMS = 12  # independent, so that no multiply-add waits for another one; they fit into 16 registers
CHAIN = 64
LEA, ADD = "leaq ($1, $2), $0", "add $0, $1, $2"  # neither touches the flags that the loop around it may need
ADDITION = {"x86_64": LEA, "AMD64": LEA, "aarch64": ADD, "arm64": ADD}


def widths() -> tuple[int, ...]:
    """Bits of the vectors that this CPU has, those of SSE and NEON only where there is nothing wider."""
    features = llvm.get_host_cpu_features()
    return (256,) * bool(features.get("avx2")) + (512,) * bool(features.get("avx512f")) or (128,)


def _multiply_adds(width: int, bits: int) -> Callable:
    """A loop of `SUMS` vector multiply-adds of numbers of this many bits and nothing else."""
    number, lanes = {32: ir.FloatType(), 64: ir.DoubleType()}[bits], width // bits
    vector = ir.VectorType(number, lanes)

    @intrinsic
    def multiply_adds(context, count, factor):
        def generate(context, builder, signature, arguments):
            count, factor = arguments
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f{bits}")
            factor = builder.fptrunc(factor, number) if bits == 32 else factor
            spread = ir.Constant(vector, ir.Undefined)
            for lane in range(lanes):
                spread = builder.insert_element(spread, factor, ir.IntType(32)(lane))
            sums = [cgutils.alloca_once_value(builder, spread) for _ in range(SUMS)]
            start = builder.fadd(spread, spread)
            for i, total in enumerate(sums):  # all different, or they would be one
                builder.store(builder.fmul(start, ir.Constant(vector, [float(i)] * lanes)), total)
            with cgutils.for_range(builder, count):
                for total in sums:
                    builder.store(builder.call(fma, [builder.load(total), spread, spread]), total)
            result = builder.load(sums[0])
            for total in sums[1:]:
                result = builder.fadd(result, builder.load(total))
            result = builder.extract_element(result, ir.IntType(32)(0))
            return builder.fpext(result, ir.DoubleType()) if bits == 32 else result

        return types.float64(types.int64, types.float64), generate

    return njit(lambda count, factor: multiply_adds(count, factor))


@intrinsic
def _additions(context, count, step):
    """A chain of integer additions, each of which takes the one before: one a cycle on every CPU."""

    def generate(context, builder, signature, arguments):
        count, step = arguments
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)] * 2)
        total = cgutils.alloca_once_value(builder, step)
        with cgutils.for_range(builder, count):
            value = builder.load(total)
            for _ in range(CHAIN):
                value = builder.asm(kind, ADDITION[platform.machine()], "=r,r,r", [value, step], side_effect=False)
            builder.store(value, total)
        return builder.load(total)

    return types.int64(types.int64, types.int64), generate


def _rate(call: Callable[[int], object], work: int, count: int = 200_000) -> float:
    """Units of work per second, the best of several short runs."""
    call(1)
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        call(count)
        best = min(best, time.perf_counter() - start)
    return work * count / best


@cache
def _loops() -> dict[tuple[int, int], Callable]:
    return {(width, bits): _multiply_adds(width, bits) for width in widths() for bits in (32, 64)}


def peaks() -> dict[str, float]:
    """Floating-point operations per second on one core, two to a multiply-add, by dtype: at the best vector width."""
    rates = {"float32": 0.0, "float64": 0.0}
    for (width, bits), loop in _loops().items():
        rate = _rate(lambda count, loop=loop: loop(count, 0.5), 2 * SUMS * width // bits)
        rates[f"float{bits}"] = max(rates[f"float{bits}"], rate)
    return rates


@cache
def _chain() -> Callable:
    llvm.initialize_native_asmparser()  # Numba itself has no use for it
    return njit(lambda count: _additions(count, 3))


def clock() -> float | None:
    """Cycles per second, where this machine's addition is known."""
    return _rate(_chain(), CHAIN) if platform.machine() in ADDITION else None
