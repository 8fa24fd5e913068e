"""Activations in C99, without branches and, but for a few, without calls: gcc makes vectors of them.

In the texts @ stands for a prefix and an underscore, `real` for float or double, F for the ending of its constants, and
a function of math.h is that for floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fastxor.architecture import GELU_RANGE, LEAK

# What each needs of the others.
_NEEDS = {
    "tanh": ("expm1",),
    "sigmoid": ("exp",),
    "elu": ("expm1",),
    "softplus": ("exp",),
    "softmax": ("exp",),
    "exp": ("reduced",),
    "expm1": ("reduced",),
}

# The limit is kept by the order of positive numbers' bits: one in floating point becomes a branch around what follows.
# The polynomials are those of the fused core, vmath.py.
_REDUCED = {
    "float": """\
/* x <= 0 as n log 2 + r, but -87 at least: returns e^r - 1, and 2^n. */
static inline float @reduced(float x, float *power)
{
    union { int32_t bits; float value; } limit, scale;
    limit.value = -x;
    limit.bits = limit.bits < 1118699520 ? limit.bits : 1118699520;
    x = -limit.value;
    int32_t n = (int32_t)(x * 1.442695041f - 0.5f);
    float r = (x - (float)n * 0.693145752f) - (float)n * 1.42860677e-6f, r2 = r * r;
    scale.bits = (n + 127) * 8388608;
    *power = scale.value;
    return r + r2 * ((0.5f + r * 0.16666576990f)
                     + r2 * ((0.041666554617f + r * 0.0083631790527f) + r2 * 0.0013926183588f));
}
""",
    "double": """\
/* x <= 0 as n log 2 + r, but -708 at least: returns e^r - 1, and 2^n. */
static inline double @reduced(double x, double *power)
{
    union { int64_t bits; double value; } limit, scale;
    limit.value = -x;
    limit.bits = limit.bits < 4649438849678704640 ? limit.bits : 4649438849678704640;
    x = -limit.value;
    int32_t n = (int32_t)(x * 1.4426950408889634 - 0.5);
    double r = (x - n * 0.69314718055989033) - n * 5.4979230187083712e-14, r2 = r * r, r4 = r2 * r2;
    double low = (0.5 + r * 0.16666666666666669) + r2 * (0.04166666666662413 + r * 0.008333333333330062);
    double middle = (0.0013888888917213717 + r * 0.00019841269863053618)
                    + r2 * (2.4801521295954376e-05 + r * 2.7557268459997064e-06);
    double high = 2.7620088445409746e-07 + r * 2.510038549551032e-08;
    scale.bits = (int64_t)(n + 1023) * 4503599627370496;
    *power = scale.value;
    return r + r2 * (low + r4 * (middle + r4 * high));
}
""",
}

_FUNCTIONS = {
    "exp": """\
/* e^x for x <= 0. */
static inline real @exp(real x)
{
    real power, part = @reduced(x, &power);
    return power + power * part;
}
""",
    "expm1": """\
/* e^x - 1 for x <= 0. */
static inline real @expm1(real x)
{
    real power, part = @reduced(x, &power);
    return power * part + (power - 1);
}
""",
    "tanh": """\
static inline real @tanh(real z)
{
    real e = @expm1(-2 * fabsf(z));
    return copysignf(e / (e + 2), z);
}
""",
    "sigmoid": """\
static inline real @sigmoid(real z)
{
    real e = @exp(-fabsf(z));
    return (z < 0 ? e : 1) / (1 + e);
}
""",
    "exponential": """\
static inline real @exponential(real z)
{
    return expf(z);
}
""",
    "relu": """\
static inline real @relu(real z)
{
    return z < 0 ? 0 : z;
}
""",
    "leaky_relu": """\
static inline real @leaky_relu(real z)
{
    return z > 0 ? z : LEAK * z;
}
""".replace("LEAK", f"{LEAK}F"),
    "elu": """\
static inline real @elu(real z)
{
    real e = @expm1(z < 0 ? z : 0);
    return z > 0 ? z : e;
}
""",
    "softplus": """\
static inline real @softplus(real z)
{
    return (z > 0 ? z : 0) + log1pf(@exp(-fabsf(z)));
}
""",
    "gelu": """\
static inline real @gelu(real z)
{
    return (z < -RANGE ? -RANGE : z) * erfcf(z * -0.70710678118654752F) / 2;
}
""".replace("RANGE", f"{GELU_RANGE:g}"),
    "sin": """\
static inline real @sin(real z)
{
    return sinf(z);
}
""",
}


def functions(activations: Iterable[str], real: str) -> list[str]:
    """The text of each function that these need, what is needed first."""
    texts: dict[str, str] = {}

    def want(name: str) -> None:
        for need in _NEEDS.get(name, ()):
            want(need)
        text = _REDUCED[real] if name == "reduced" else _FUNCTIONS.get(name)
        if text is not None:
            texts[name] = _typed(text, real)

    for activation in activations:
        want(activation)
    return [*texts.values()]


def _typed(text: str, real: str) -> str:
    text = re.sub(r"(\d)F\b", r"\1f" if real == "float" else r"\1", text.replace("real", real))
    return text if real == "float" else re.sub(r"\b(fabs|copysign|log1p|erfc|exp|sin)f\(", r"\1(", text)
