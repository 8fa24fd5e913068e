"""Elementary functions on SIMD vectors, branch-free, relative error within 4 ulp.

NaN stays NaN, infinities give the exact limits, and results below the smallest normal number may be flushed to zero.
The constants come from ``mpmath.chebyfit(f, interval, number_of_coefficients)`` as noted at each table.
"""

from fastxor.architecture import GELU_RANGE

from .simd import (
    absolute,
    by_dtype,
    copysign,
    exponent,
    fma,
    polynomial,
    pow2,
    pow2_of_bits,
    rint,
    select_less,
    three_halves,
)

_LOG2E, _LN2 = 1.4426950408889634, 0.6931471805599453
# ln 2 in two parts; the first has trailing zeros, so that n * _LN2_HIGH is exact without an FMA too.
_LN2_HIGH_32, _LN2_LOW_32 = 0.693359375, -2.12194440e-4
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# The same with as many zeros as n below 2**11 needs.
_LN2_LONG, _LN2_REST = 0.6931471805598903, 5.497923018708371e-14
# x + the rounder rounds x to an integer, and leaves it in the last bits with the bias of an exponent.
_ROUNDER_32, _ROUNDER_64 = 12583039.0, 6755399441056767.0
# pi / 2 in three parts, likewise.
_HALF_PI_HIGH_32 = 1.5703125
_HALF_PI_MIDDLE_32 = 4.837512969970703e-4
_HALF_PI_LOW_32 = 7.549789954891882e-8
_HALF_PI_HIGH_64 = 1.5707963267341256
_HALF_PI_MIDDLE_64 = 6.077100506303966e-11
_HALF_PI_LOW_64 = 2.0222662487959506e-21

# (expm1(r) - r) / r**2, |r| <= ln(2)/2.
_EXPM1_32 = (0.5, 0.16666576990, 0.041666554617, 0.0083631790527, 0.0013926183588)
_EXPM1_64 = (
    0.5,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
# (r / tanh(r) - 1) / q as a function of q = r**2, |r| <= ln(2)/4.
_COTH_32 = (0.33333307592915579773, -0.022156282994486876567)
_COTH_64 = (
    0.33333333333333323039,
    -0.022222222222050975344,
    0.0021164020708103448484,
    -0.00021163596166480791128,
    0.000021215954648445254879,
)
# tanh(r) / r as (1 + a1 q + a2 q**2) / (1 + b1 q + b2 q**2): the error is 0 at 0 and at four points inside.
_TANH_A1, _TANH_A2 = 0.11110026504289231181, 0.0010574784525743722974
_TANH_B1, _TANH_B2 = 0.44443359837622272701, 0.015868677912611057346
# (atanh(s) / s - 1) / s**2 as a function of s**2, 0 <= s**2 <= 1/9.
_ATANH_32 = (0.33333320168, 0.20003780322, 0.14118309903, 0.13425749011)
_ATANH_64 = (
    0.33333333333333487,
    0.19999999999780063,
    0.14285714338330496,
    0.11111106278964857,
    0.09091130554209872,
    0.07686637438179002,
    0.0675117123587855,
    0.05161334635249541,
    0.08435350330548605,
)
# (sin(r) / r - 1) / r**2 and (cos(r) - 1 + r**2 / 2) / r**4 as functions of r**2, |r| <= pi/4.
_SIN_32 = (-0.16666664650292082, 0.008332745936380422, -0.00019587387068464455)
_SIN_64 = (
    -0.16666666666666666,
    0.008333333333333331,
    -0.00019841269841265017,
    2.755731921930192e-06,
    -2.5052106219521895e-08,
    1.6058529572267877e-10,
    -7.586576588171073e-13,
)
_COS_32 = (0.04166666464745738, -0.00138883006969039, 2.45474372101932e-05)
_COS_64 = (
    0.041666666666666664,
    -0.0013888888888888887,
    2.4801587301584618e-05,
    -2.7557319221382114e-07,
    2.087675578389404e-09,
    -1.1470459749675607e-11,
    4.745804889760674e-14,
)
# (1 + x) e**(x**2/2) (1 - Phi(x)) as a function of u = (x - k) / (x + k), x >= 0, with k = 4 and k = 6; Phi is
# the normal distribution function. The first coefficient, the largest, is added last, so that it is rounded only once.
_TAIL_TOP_32, _TAIL_TOP_64 = 0.472053200006485, 0.45345520027112796
_TAIL_32 = (
    6.503359698003048e-09,
    -0.09670347022135291,
    0.013999639104174844,
    0.028600164051640592,
    -0.032197960981293315,
    0.01793771873431264,
    -0.005001371558721446,
    -0.0002913193824303818,
    0.0006913216255304828,
    -8.45022931686196e-05,
    -8.149395657310157e-05,
    1.2549784977755279e-05,
    7.799736746050614e-06,
)
_TAIL_64 = (
    -1.0853224919587188e-17,
    -0.08502536230577082,
    0.03981142456242957,
    -0.004373386779583532,
    -0.016141517332177172,
    0.02259246706249875,
    -0.01976647922053832,
    0.013246864157784076,
    -0.007059819413365966,
    0.0029356554909661593,
    -0.0008689947245775902,
    0.00011948976690432688,
    3.7795178180679385e-05,
    -2.635365500699215e-05,
    4.41157954291253e-06,
    1.7840938676074555e-06,
    -9.980210422065652e-07,
    -3.033556794178999e-10,
    1.305473530354168e-07,
    -2.077536473978835e-08,
    -1.4517624972663647e-08,
    3.774400796543129e-09,
    1.371771970074909e-09,
    -3.2662361775035846e-10,
    -8.036354693911134e-11,
)
# (Phi(x) - 1/2) / x as a function of x**2, |x| <= 1.1, Phi the normal distribution function.
_PHI_32 = (
    0.3989422795839461,
    -0.06649033137123159,
    0.00997308490444834,
    -0.0011856444599707438,
    0.00011269213346829952,
    -7.335052198956407e-06,
)
_PHI_64 = (
    0.3989422804014327,
    -0.06649038006690532,
    0.009973557010031586,
    -0.001187328215425796,
    0.0001154346872537366,
    -9.444654855832361e-06,
    6.65965956163603e-07,
    -4.12213840030651e-08,
    2.2682085815574635e-09,
    -1.0965480347262976e-10,
    3.885957025845575e-12,
)

# How large |x| may be for `tanh_inside` and `sigmoid_inside`, by the bytes of a number. They save a few operations.
INSIDE = {4: 40.0, 8: 350.0}


def clamp(x, low, high):
    """x limited to [low, high]; NaN stays NaN, because every comparison with it is false."""
    x = select_less(x, low, low, x)
    return select_less(high, x, high, x)


def maximum(x, y):
    """The larger of the two; NaN in x stays."""
    return select_less(x, y, y, x)


def flush(x):
    """x, or 0 where it is below the smallest normal number: arithmetic with those takes several times as long."""
    return select_less(absolute(x), by_dtype(x, 1.1754944e-38, 2.2250738585072014e-308), 0.0, x)


def _reduce(x):
    """n and expm1(r) with x = n ln 2 + r, |r| <= ln(2)/2 (Cody and Waite's two-part reduction)."""
    n = rint(x * _LOG2E)
    r = fma(n, by_dtype(x, -_LN2_HIGH_32, -_LN2_HIGH_64), x)
    r = fma(n, by_dtype(x, -_LN2_LOW_32, -_LN2_LOW_64), r)
    return n, fma(r * r, polynomial(r, _EXPM1_32, _EXPM1_64), r)


def exp(x):
    """e**x"""
    n, p = _reduce(clamp(x, by_dtype(x, -88.0, -709.0), by_dtype(x, 89.0, 710.0)))
    half = rint(n * 0.5)  # in two steps, for 2**n can overflow where e**x does not
    s = pow2(half)
    y = fma(p, s, s) * pow2(n - half)
    return select_less(x, by_dtype(x, -87.33654, -708.3964), 0.0, y)


def exp_down(x):
    """e**x for x <= 0, which cannot overflow: 2**n in one step."""
    n, p = _reduce(maximum(x, by_dtype(x, -88.0, -709.0)))
    s = pow2(n)
    return select_less(x, by_dtype(x, -87.33654, -708.3964), 0.0, fma(p, s, s))


def expm1(x):
    """e**x - 1 for x <= 0, accurate near 0."""
    n, p = _reduce(clamp(x, -40.0, 0.0))
    s = pow2(n)
    return fma(p, s, s - 1.0)


def log(x):
    """Natural logarithm of a positive normal number: exponent * ln 2 + 2 atanh((m - 1) / (m + 1))."""
    e = exponent(x)
    m = x * pow2(-e)
    above = by_dtype(x, 1.4142135, 1.4142135623730951)
    e = select_less(above, m, e + 1.0, e)
    m = select_less(above, m, m * 0.5, m)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    s = s + s
    low = fma(s * t, polynomial(t, _ATANH_32, _ATANH_64), e * by_dtype(x, _LN2_LOW_32, _LN2_LOW_64))
    return fma(e, by_dtype(x, _LN2_HIGH_32, _LN2_HIGH_64), s + low)


def tanh(x):
    """Hyperbolic tangent; small x keep their relative accuracy."""
    size = absolute(x)
    return copysign(_tanh_of_size(select_less(20.0, size, 20.0, size)), x)


def tanh_soon(x):
    """The same by a short chain of operations, in float64: tiny networks wait for it. It may be 1 + 2**-52."""
    return by_dtype(x, tanh(x), select_less(20.0, absolute(x), copysign(1.0, x), _tanh_soon(x)))


def tanh_inside(x):
    """The bits of `tanh_soon`, for |x| up to `INSIDE`."""
    return by_dtype(x, copysign(_tanh_of_size(absolute(x)), x), _tanh_soon(x))


def _tanh_of_size(x):
    """With x = n ln(2)/2 + r, r = g tanh(r) and h = (2**n - 1)/2, (h (g + r) + r) / (h (g + r) + g); x is not below 0.

    Few operations rather than a short chain. What the rounding of ln(2)/2 does to r does not count: where n is large,
    tanh is flat.
    """
    rounder = by_dtype(x, _ROUNDER_32 - 1.0, _ROUNDER_64 - 1.0)  # it leaves 2**(n - 1)
    t = fma(x, 2.0 * _LOG2E, rounder)
    n = t - rounder
    h = pow2_of_bits(t) - 0.5
    r = fma(n, -0.5 * _LN2, x)
    q = r * r
    g = fma(_coth(q), q, 1.0)
    both = g + r
    return fma(h, both, r) / fma(h, both, g)


def _coth(q, half=1.0):
    """With `half` 0.5, twice that of half of r. By Horner's rule: fewer operations than `polynomial`, where many values
    are under way at once.
    """
    a0, a1 = (c * half ** (2 * i + 1) for i, c in enumerate(_COTH_32))
    c0, c1, c2, c3, c4 = (c * half ** (2 * i + 1) for i, c in enumerate(_COTH_64))
    return by_dtype(q, fma(q, a1, a0), fma(fma(fma(fma(q, c4, c3), q, c2), q, c1), q, c0))


def _tanh_soon(x):
    """With x = n ln(2)/2 + r, s = 2**n and tanh(r) = a / b, ((s - 1) b + (s + 1) a) / ((s + 1) b + (s - 1) a)."""
    t = fma(x, 2.0 * _LOG2E, _ROUNDER_64)
    n = t - _ROUNDER_64
    s = pow2_of_bits(t)
    low, high = s - 1.0, s + 1.0
    r = fma(n, -0.5 * _LN2, x)
    q = r * r
    a = fma(r * q, fma(q, _TANH_A2, _TANH_A1), r)
    b = fma(q, _TANH_B2, _TANH_B1)  # (b - 1) / q
    return fma(high, a, fma(b, q * low, low)) / fma(low, a, fma(b, q * high, high))


def sigmoid(x):
    """1 / (1 + e**-x), in float64 by a short chain of operations."""
    double = select_less(708.3964, absolute(x), select_less(x, 0.0, 0.0, 1.0), _sigmoid_64(x))
    return by_dtype(x, sigmoid_of_many(x), double)


def sigmoid_inside(x):
    """The same bits, for |x| up to `INSIDE`."""
    return by_dtype(x, _sigmoid_of_many(x), _sigmoid_64(x))


def sigmoid_of_many(x):
    """The same by few operations, where many values are under way at once."""
    # From where 2**n is infinite, to where 1 is left.
    return _sigmoid_of_many(clamp(x, by_dtype(x, -89.0, -710.0), by_dtype(x, 80.0, 40.0)))


def _sigmoid_of_many(x):
    """With x = r - n ln(2) and r = g tanh(r / 2), (g + r) / ((g + r) + 2**n (g - r))."""
    rounder = by_dtype(x, _ROUNDER_32, _ROUNDER_64)
    t = fma(x, -_LOG2E, rounder)
    n = t - rounder
    r = fma(n, by_dtype(x, _LN2_HIGH_32, _LN2_LONG), x)
    r = fma(n, by_dtype(x, _LN2_LOW_32, _LN2_REST), r)
    q = r * r
    g = fma(_coth(q, 0.5), q, 2.0)
    both = g + r
    return both / fma(pow2_of_bits(t), g - r, both)


def _sigmoid_64(x):
    """With x = 2r - n ln(2), s = 2**n and u = tanh(r) as in `_tanh_soon`, (1 + u) / ((s + 1) - u (s - 1)).

    The second part of ln(2) goes into s = 2**n (1 - n rest), beside the rest of the work and not before it. All is
    taken 3/2 times, `low` without its factor: numbers a little above a power of two would be rounded more coarsely,
    relative to their size.
    """
    t = fma(x, -_LOG2E, _ROUNDER_64)
    n = t - _ROUNDER_64
    r = fma(n, _LN2_LONG, x)  # twice the r above
    s = pow2_of_bits(t)
    more = three_halves(s)
    rest = n * -_LN2_REST
    low, high = fma(s, rest, s - 1.0), fma(more, rest, more + 1.5)
    q = r * r
    a = fma(r * q, fma(q, _TANH_A2 * 1.5 / 32.0, _TANH_A1 * 1.5 / 8.0), r * 0.75)
    b = fma(q, _TANH_B2 / 16.0, _TANH_B1 / 4.0)
    return (a + fma(b, q * 1.5, 1.5)) / fma(-low, a, fma(b, q * high, high))


def softplus(x):
    """log(1 + e**x) = max(x, 0) + log1p(e**-|x|), the logarithm as 2 atanh(u / (2 + u))."""
    u = exp_down(-absolute(x))
    s = u / (u + 2.0)
    t = s * s
    s = s + s
    return maximum(x, 0.0) + fma(s * t, polynomial(t, _ATANH_32, _ATANH_64), s)


def gelu(x):
    """(x Phi(x), its derivative Phi(x) + x phi(x)), where Phi is the normal distribution function and phi its density.

    1 - Phi(|x|) is e**(-x**2/2) times a function that falls like 1 / (1 + |x|), and that is smooth in
    (|x| - k) / (|x| + k), after Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x**2) erfc x"
    (1981); below 1/2, Phi is 1/2 + x R(x**2).
    """
    x = maximum(x, -GELU_RANGE)
    y = select_less(GELU_RANGE, x, GELU_RANGE, x)
    t = absolute(y)
    k = by_dtype(x, 4.0, 6.0)
    scaled = polynomial((t - k) / (t + k), _TAIL_32, _TAIL_64) + by_dtype(x, _TAIL_TOP_32, _TAIL_TOP_64)
    scaled = scaled / (t + 1.0)
    square = y * y
    e = exp_down(square * -0.5)
    e = fma(e, fma(y, y, -square) * -0.5, e)  # what rounding took from the square
    part = (y * scaled) * e  # in this order, for the product of the last two can underflow
    half = y * polynomial(square, _PHI_32, _PHI_64)
    inside = 0.5 + half
    value = select_less(x, 0.0, part, x - part)
    value = select_less(square, 0.25, x * inside, value)
    cdf = select_less(x, 0.0, scaled * e, 1.0 - scaled * e)
    cdf = select_less(square, 0.25, inside, cdf)
    return value, fma(y * 0.3989422804014327, e, cdf)


def sin_cos(x):
    """(sin x, cos x) for |x| up to a million."""
    n = rint(x * 0.6366197723675814)
    r = fma(n, by_dtype(x, -_HALF_PI_HIGH_32, -_HALF_PI_HIGH_64), x)
    r = fma(n, by_dtype(x, -_HALF_PI_MIDDLE_32, -_HALF_PI_MIDDLE_64), r)
    r = fma(n, by_dtype(x, -_HALF_PI_LOW_32, -_HALF_PI_LOW_64), r)
    t = r * r
    s = fma(r * t, polynomial(t, _SIN_32, _SIN_64), r)
    c = fma(t * t, polynomial(t, _COS_32, _COS_64), fma(t, -0.5, 1.0))
    quadrant = n - 4.0 * rint(n * 0.25)  # -2 … 2
    odd = quadrant * quadrant  # 1 in the quadrants where sine and cosine change places
    is_odd = select_less(absolute(odd - 1.0), 0.5, 1.0, 0.0)
    sine = select_less(0.5, is_odd, c, s)
    cosine = select_less(0.5, is_odd, s, c)
    sine = select_less(absolute(quadrant - 0.5), 1.0, sine, -sine)  # quadrants 0 and 1 keep the sign
    cosine = select_less(absolute(quadrant + 0.5), 1.0, cosine, -cosine)  # quadrants 0 and -1
    return sine, cosine
