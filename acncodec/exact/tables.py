"""Integer tables of tanh, exp, the Gaussian and the logistic function, made with correctly rounded decimal arithmetic.

No binary floating point takes part, so every machine makes the same integers; `fingerprint` proves it at run time.
The general decimal arithmetic specification requires that exp and ln be correctly rounded, which makes this safe.
"""

import hashlib
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache

import numpy as np

from acncodec.exact.grids import (
    CUMULATIVE_BITS,
    FREQUENCY_BITS,
    LATENT_BITS,
    LATENT_MAX,
    LOGIT_BITS,
    LOGIT_MAX,
    OFFSET_MAX,
    PRE_BITS,
    PRE_MAX,
    SLOPE_BITS,
    SLOPE_MAX,
    SPREAD_BITS,
    SPREAD_MAX,
    SPREAD_MIN,
    STEEPNESS_BITS,
    TONE_BITS,
    UNIT,
    WIDTH_BITS,
    WIDTH_MAX,
    WIDTH_MIN,
)

_CONTEXT = Context(prec=30, rounding=ROUND_HALF_EVEN)
_PEAK = 1 << FREQUENCY_BITS


def _exp(x: Decimal) -> Decimal:
    return _CONTEXT.exp(x)


def _nearest(x: Decimal) -> int:
    return int(x.to_integral_value(rounding=ROUND_HALF_EVEN, context=_CONTEXT))


def _div(a: Decimal | int, b: Decimal | int) -> Decimal:
    return _CONTEXT.divide(Decimal(a), Decimal(b))


@cache
def tanh_table() -> np.ndarray:
    """int32 [2 * PRE_MAX + 1]: 128 * tanh(i / 32) for i = -PRE_MAX .. PRE_MAX, rounded."""
    half = []
    for i in range(PRE_MAX + 1):
        e = _exp(_div(-2 * i, 1 << PRE_BITS))
        half.append(_nearest(_CONTEXT.multiply(Decimal(UNIT), _CONTEXT.divide(1 - e, 1 + e))))
    return np.array([-v for v in half[:0:-1]] + half, dtype=np.int32)


@cache
def exp_table() -> np.ndarray:
    """int32 [2 * LOGIT_MAX + 1]: max(1, 2^20 * exp(-i / 32)), the frequency of a logit i steps below the largest."""
    peak = Decimal(_PEAK)
    values = [_nearest(_CONTEXT.multiply(peak, _exp(_div(-i, 1 << LOGIT_BITS)))) for i in range(2 * LOGIT_MAX + 1)]
    return np.maximum(np.array(values, dtype=np.int32), 1)


@cache
def gaussian_table() -> np.ndarray:
    """int32 [WIDTHS, 4 * LATENT_MAX + 1]: frequency of a latent at offset o from a component's mean, per width.

    Row w has sigma = 2^((w + WIDTH_MIN) / 8); column o + 2 * LATENT_MAX the density there times the grid's step, on a
    scale of 2^20 and at least 1, so that no latent is ever impossible.
    """
    scale = _CONTEXT.divide(Decimal(_PEAK), _CONTEXT.sqrt(2 * Decimal("3.14159265358979323846264338328")))
    ln2 = _CONTEXT.ln(Decimal(2))
    rows = []
    for w in range(WIDTH_MIN, WIDTH_MAX + 1):
        sigma = _CONTEXT.multiply(_exp(_CONTEXT.multiply(ln2, _div(w, 1 << WIDTH_BITS))), Decimal(1 << LATENT_BITS))
        inverse = _CONTEXT.divide(Decimal(1), 2 * _CONTEXT.multiply(sigma, sigma))
        height = _CONTEXT.divide(scale, sigma)
        half = []
        for o in range(2 * LATENT_MAX + 1):
            value = _nearest(_CONTEXT.multiply(height, _exp(_CONTEXT.multiply(Decimal(-o * o), inverse))))
            if value == 0:  # all further ones are zero too
                half.extend([0] * (2 * LATENT_MAX + 1 - o))
                break
            half.append(value)
        rows.append(half[:0:-1] + half)
    return np.maximum(np.array(rows, dtype=np.int32), 1)


@cache
def posterior_table() -> np.ndarray:
    """int32 [2 * OFFSET_MAX + 1]: frequencies of latent minus code, a unit Gaussian cut at +-OFFSET_MAX steps."""
    row = gaussian_table()[-WIDTH_MIN]  # log2(sigma) = 0
    centre = 2 * LATENT_MAX
    return np.ascontiguousarray(row[centre - OFFSET_MAX : centre + OFFSET_MAX + 1])


@cache
def steepness_table() -> np.ndarray:
    """int32 [SPREADS]: how far a step of 1/4 level moves a logistic's argument, per spread, in 1/16 of 1/1024."""
    ln2 = _CONTEXT.ln(Decimal(2))
    step = Decimal(1 << (SLOPE_BITS + STEEPNESS_BITS - TONE_BITS))
    rows = [_exp(_CONTEXT.multiply(ln2, _div(-w, 1 << SPREAD_BITS))) for w in range(SPREAD_MIN, SPREAD_MAX + 1)]
    return np.array([_nearest(_CONTEXT.multiply(step, row)) for row in rows], dtype=np.int32)


@cache
def logistic_table() -> np.ndarray:
    """int32 [2 * SLOPE_MAX + 1]: 2^22 / (1 + exp(-i / 1024)) for i = -SLOPE_MAX .. SLOPE_MAX, rounded.

    The powers of exp(-1/1024) are multiplied up as fixed-point integers, 30 digits being more than enough; so many
    decimal exponentials would take a second.
    """
    one = 10**30
    ratio = int(_CONTEXT.multiply(_exp(_div(-1, 1 << SLOPE_BITS)), Decimal(one)))
    upper, power = [], one
    for _ in range(SLOPE_MAX + 1):
        upper.append(((one << (CUMULATIVE_BITS + 1)) // (one + power) + 1) >> 1)
        power = power * ratio // one
    peak = 1 << CUMULATIVE_BITS
    return np.array([peak - v for v in upper[:0:-1]] + upper, dtype=np.int32)


def fingerprint() -> bytes:
    """sha256 over all tables as little-endian int32: must be equal on all machines."""
    digest = hashlib.sha256()
    for table in (tanh_table(), exp_table(), gaussian_table(), posterior_table(), steepness_table(), logistic_table()):
        digest.update(table.astype("<i4").tobytes())
    return digest.digest()
