"""The fused kernels, in Triton: a row's vertical stack, a pixel up to the frequencies of its first digit, other digits.

Each program takes LANES lanes. All sums are of integers below 2^24, as in `exact/bounds.py`, so tensor cores with float32
sums or float32 multiply-adds, in any order, give the same bits as the other passes (`decoder.sums_are_exact`).

Rows of pixels and streams lie in rings of as many rows as windows reach, [row, column, lane, channel]; what lies outside of
the image is never read but taken as zero. Weights are as `layout.Packed` has them: those of a gate [rows, 2, channels].
"""

import triton
import triton.language as tl

from acncodec.exact import grids
from acncodec.fused import layout
from acncodec.nets import planes as planes_module

LANES: tl.constexpr = tl.constexpr(16)
CHUNK: tl.constexpr = tl.constexpr(layout.CHUNK)
KNOWN: tl.constexpr = tl.constexpr(layout.KNOWN)
UNIT: tl.constexpr = tl.constexpr(float(grids.UNIT))
GATE_FACTOR: tl.constexpr = tl.constexpr(2.0 ** -(grids.STREAM_BITS + 1))
PRE_MAX: tl.constexpr = tl.constexpr(float(grids.PRE_MAX))
STREAM_MAX: tl.constexpr = tl.constexpr(float(grids.STREAM_MAX))
RELU_MAX: tl.constexpr = tl.constexpr(float(grids.RELU_MAX))
LOGIT_MAX: tl.constexpr = tl.constexpr(float(grids.LOGIT_MAX))
TONE: tl.constexpr = tl.constexpr(1 << grids.TONE_BITS)
SPREAD_MIN: tl.constexpr = tl.constexpr(float(grids.SPREAD_MIN))
SPREAD_MAX: tl.constexpr = tl.constexpr(float(grids.SPREAD_MAX))
STEEPNESS_BITS: tl.constexpr = tl.constexpr(grids.STEEPNESS_BITS)
STEEPNESS_HALF: tl.constexpr = tl.constexpr(1 << (grids.STEEPNESS_BITS - 1))
SLOPE_MAX: tl.constexpr = tl.constexpr(grids.SLOPE_MAX)
FLOOR: tl.constexpr = tl.constexpr(float(grids.FREQUENCY_FLOOR))
BASE: tl.constexpr = tl.constexpr(grids.BASE)
MIDDLE: tl.constexpr = tl.constexpr(planes_module.MIDDLE)
PLANE_MAX: tl.constexpr = tl.constexpr(float(planes_module.PLANE_MAX))
ERROR_SCALE: tl.constexpr = tl.constexpr(float(planes_module.ERROR_SCALE))
# Where tables lie in `constants`, that of each function at its argument 0.
TANH: tl.constexpr = tl.constexpr(grids.PRE_MAX)
EXP: tl.constexpr = tl.constexpr(2 * grids.PRE_MAX + 1)
STEEPNESS: tl.constexpr = tl.constexpr(2 * grids.PRE_MAX + 2 * grids.LOGIT_MAX + 2 - grids.SPREAD_MIN)
LOGISTIC: tl.constexpr = tl.constexpr(2 * grids.PRE_MAX + 2 * grids.LOGIT_MAX + 2 + grids.SPREADS + grids.SLOPE_MAX + 1)
HALVES: tl.constexpr = tl.constexpr(1.5 * 2**23)  # added and subtracted: rounds half to even below 2^22


@triton.jit
def requantise(acc, factor, low, high):
    # The ends are integers, so to clamp before rounding changes nothing.
    return (tl.minimum(tl.maximum(acc * factor, low), high) + HALVES) - HALVES


@triton.jit
def product(x, weight, acc):
    return tl.dot(x.to(weight.dtype), weight, acc, input_precision="ieee")


@triton.jit
def gated(a, b, factor, constants, C: tl.constexpr):
    c = tl.arange(0, C)
    a = requantise(a, tl.load(factor + c)[None, :], -PRE_MAX, PRE_MAX)
    b = requantise(b, tl.load(factor + C + c)[None, :], -PRE_MAX, PRE_MAX)
    ta = tl.load(constants + TANH + a.to(tl.int32)).to(tl.float32)
    tb = tl.load(constants + TANH + b.to(tl.int32)).to(tl.float32)
    return requantise(ta * (tb + UNIT), GATE_FACTOR, -UNIT, UNIT)


@triton.jit
def halves(x, weight, a, b, ROWS: tl.constexpr, C: tl.constexpr):
    """Both halves of a gate: x [lanes, ROWS] and weights [ROWS, 2, C] added to a and b [lanes, C]."""
    w = weight + tl.arange(0, ROWS)[:, None] * (2 * C) + tl.arange(0, C)[None, :]
    return product(x, tl.load(w), a), product(x, tl.load(w + C), b)


@triton.jit
def window(rows, k, row, column, lane, lanes, width, TOP: tl.constexpr, BOTTOM: tl.constexpr, REACH: tl.constexpr,
           RIGHT: tl.constexpr, P: tl.constexpr, RING: tl.constexpr):  # fmt: skip
    """Entries k of a window's taps: rows -TOP..-BOTTOM, columns -REACH..RIGHT around `column` [lanes]."""
    ACROSS: tl.constexpr = REACH + RIGHT + 1
    tap = k // P
    y = row - TOP + tap // ACROSS
    x = column[:, None] + (tap % ACROSS - REACH)[None, :]
    inside = ((tap < (TOP - BOTTOM + 1) * ACROSS) & (y >= 0))[None, :] & (x >= 0) & (x < width)
    slot = (tl.maximum(y, 0) % RING)[None, :]
    at = ((slot * width + x) * lanes + lane[:, None]) * P + (k % P)[None, :]
    return tl.load(rows + at, mask=inside, other=0.0)


@triton.jit
def neighbours(pixels, colour, row, column, lane, lanes, width, RING: tl.constexpr, COLOURS: tl.constexpr):
    """One colour of the pixels left, above, left above and right above, float32 [lanes] each, as `planes.predict`."""
    now = (row % RING) * width
    over = (tl.maximum(row - 1, 0) % RING) * width
    at = pixels + colour * lanes + lane
    step = COLOURS * lanes
    beside = tl.where(column > 0, now + column - 1, over)
    there = (lane >= 0) & ((row > 0) | (column > 0))
    up = (lane >= 0) & (row > 0)
    left = tl.load(at + beside * step, mask=there, other=MIDDLE).to(tl.float32)
    above = tl.load(at + (over + column) * step, mask=up, other=0).to(tl.float32)
    left_above = tl.load(at + (over + tl.maximum(column - 1, 0)) * step, mask=up, other=0).to(tl.float32)
    right_above = tl.load(at + (over + tl.minimum(column + 1, width - 1)) * step, mask=up, other=0).to(tl.float32)
    return left, tl.where(up, above, left), tl.where(up, left_above, left), tl.where(up, right_above, left)


@triton.jit
def median(left, above, left_above):
    return tl.minimum(tl.maximum(left + above - left_above, tl.minimum(left, above)), tl.maximum(left, above))


@triton.jit
def error_of(value, predicted):
    return tl.minimum(tl.maximum((value - predicted) * ERROR_SCALE, -PLANE_MAX), PLANE_MAX)


@triton.jit
def told(pixels, value, row, column, lane, lanes, width, FIRST: tl.constexpr, COUNT: tl.constexpr, WIDE: tl.constexpr,
         CENTRES: tl.constexpr, RING: tl.constexpr, COLOURS: tl.constexpr):  # fmt: skip
    """`planes.tell_colours` of COUNT colours from plane FIRST on: [lanes, WIDE]; `value` is the last of them."""
    plane = tl.arange(0, WIDE)[None, :] - FIRST
    found = tl.zeros((LANES, WIDE), tl.float32)
    same_left = lane >= 0
    same_above, same_left_above, same_right_above = same_left, same_left, same_left
    for colour in tl.static_range(COUNT):
        if colour == COUNT - 1:
            v = value.to(tl.float32)
        else:
            v = tl.load(pixels + (((row % RING) * width + column) * COLOURS + colour) * lanes + lane).to(tl.float32)
        left, above, left_above, right_above = neighbours(pixels, colour, row, column, lane, lanes, width, RING, COLOURS)
        error = error_of(v, median(left, above, left_above))
        found = tl.where(plane == colour, v[:, None], found)
        found = tl.where(plane == COUNT + colour, error[:, None], found)
        same_left = same_left & (v == left)
        same_above = same_above & (v == above)
        same_left_above = same_left_above & (v == left_above)
        same_right_above = same_right_above & (v == right_above)
    if CENTRES > 1:
        found = tl.where((plane == 2 * COUNT) & same_left[:, None], UNIT, found)
        found = tl.where((plane == 2 * COUNT + 1) & same_above[:, None], UNIT, found)
        found = tl.where((plane == 2 * COUNT + 2) & same_left_above[:, None], UNIT, found)
        found = tl.where((plane == 2 * COUNT + 3) & same_right_above[:, None], UNIT, found)
    return found


@triton.jit
def settle(pixels, planes, values, row, column, lane, lanes, width, P: tl.constexpr, RING: tl.constexpr,
           COLOURS: tl.constexpr, LEVELS: tl.constexpr, LOGISTICS: tl.constexpr, CENTRES: tl.constexpr,
           ERRORS: tl.constexpr):  # fmt: skip
    """Enter a pixel's last colour, and its planes as `planes.to_planes`."""
    value = tl.load(values + lane)
    at = (row % RING) * width + column
    tl.store(pixels + (at * COLOURS + COLOURS - 1) * lanes + lane, value)
    plane = tl.arange(0, P)[None, :]
    if LOGISTICS:
        found = told(pixels, value, row, column, lane, lanes, width, 1, COLOURS, P, CENTRES, RING, COLOURS)
    else:
        v = value.to(tl.float32)[:, None]
        found = tl.where(plane == 1, v * (UNIT if LEVELS == 2 else 1.0), 0.0)
        if LEVELS > 2:
            found = tl.where((plane == 2) & (v == 0.0), UNIT, found)
            found = tl.where((plane == 3) & (v == LEVELS - 1), UNIT, found)
        if ERRORS:
            left, above, left_above, _ = neighbours(pixels, 0, row, column, lane, lanes, width, RING, COLOURS)
            found = tl.where(plane == 4, error_of(v, median(left, above, left_above)[:, None]), found)
    found = tl.where(plane == 0, UNIT, found)
    tl.store(planes + (at * lanes + lane[:, None]) * P + plane, found.to(tl.float16))


@triton.jit(do_not_specialize=["lanes", "width"])
def end_row(pixels, planes, values, row_at, lanes, width, P: tl.constexpr, RING: tl.constexpr, COLOURS: tl.constexpr,
            LEVELS: tl.constexpr, LOGISTICS: tl.constexpr, CENTRES: tl.constexpr, ERRORS: tl.constexpr):  # fmt: skip
    """Before a row: settle the last pixel of the row above."""
    row = tl.load(row_at)
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    if row > 0:
        settle(pixels, planes, values, row - 1, width - 1, lane, lanes, width, P, RING, COLOURS, LEVELS, LOGISTICS, CENTRES,
               ERRORS)  # fmt: skip


@triton.jit(do_not_specialize=["lanes", "width"])
def vertical(source, latents, weight, vector, out, partial, constants, row_at, lanes, width, P: tl.constexpr,
             C: tl.constexpr, Z: tl.constexpr, REACH: tl.constexpr, RING: tl.constexpr, OUT_RING: tl.constexpr,
             FIRST: tl.constexpr, PLACES: tl.constexpr):  # fmt: skip
    """One block's vertical stack for a row, and the row's part of its horizontal product: partial [column, 2, lane, C]."""
    row = tl.load(row_at)
    place = tl.program_id(0) * PLACES + tl.arange(0, PLACES)
    column, lane = place // lanes, place % lanes
    inside = (column < width)[:, None]
    c, z = tl.arange(0, C), tl.arange(0, Z)
    BOTTOM: tl.constexpr = 1 if FIRST else 0
    TAPS: tl.constexpr = (REACH + 1 - BOTTOM) * (2 * REACH + 1)
    ROWS: tl.constexpr = (TAPS * P + CHUNK - 1) // CHUNK * CHUNK
    a = tl.zeros((PLACES, C), tl.float32) + tl.load(vector + c)[None, :]
    b = tl.zeros((PLACES, C), tl.float32) + tl.load(vector + C + c)[None, :]
    for start in tl.range(0, ROWS, CHUNK):
        k = start + tl.arange(0, CHUNK)
        x = window(source, k, row, column, lane, lanes, width, REACH, BOTTOM, REACH, REACH, P, RING)
        a, b = halves(x, weight + start * 2 * C, a, b, CHUNK, C)
    own = (row * width * lanes + place).to(tl.int64)
    latent = tl.load(latents + own[:, None] * Z + z[None, :], mask=inside, other=0.0)
    weight += ROWS * 2 * C
    a, b = halves(latent, weight, a, b, Z, C)
    v = gated(a, b, vector + 2 * C, constants, C)
    if not FIRST:
        at = ((row % RING) * width * lanes + place)[:, None] * C + c[None, :]
        v = tl.minimum(tl.maximum(v + tl.load(source + at, mask=inside, other=0.0), -STREAM_MAX), STREAM_MAX)
    tl.store(out + ((row % OUT_RING) * width * lanes + place)[:, None] * C + c[None, :], v.to(tl.float16), mask=inside)
    weight += Z * 2 * C
    a = tl.zeros((PLACES, C), tl.float32) + tl.load(vector + 4 * C + c)[None, :]
    b = tl.zeros((PLACES, C), tl.float32) + tl.load(vector + 5 * C + c)[None, :]
    a, b = halves(v, weight, a, b, C, C)
    a, b = halves(latent, weight + C * 2 * C, a, b, Z, C)
    at = (column[:, None] * 2 * lanes + lane[:, None]) * C + c[None, :]
    tl.store(partial + at, a, mask=inside)
    tl.store(partial + at + lanes * C, b, mask=inside)


@triton.jit
def updated(a, b, weight, vector, constants, C: tl.constexpr):
    """A block's gate and residual product: what it adds to the horizontal stream, [lanes, C]."""
    c = tl.arange(0, C)
    g = gated(a, b, vector, constants, C)
    bias = tl.zeros((LANES, C), tl.float32) + tl.load(vector + 2 * C + c)[None, :]
    w = tl.load(weight + c[:, None] * C + c[None, :])
    return requantise(product(g, w, bias), tl.load(vector + 3 * C + c)[None, :], -STREAM_MAX, STREAM_MAX)


@triton.jit(do_not_specialize=["lanes", "width"])
def pixel(pixels, planes, values, partial, ring, stream, first_weight, first_vector, weight, vector, head, head_vector,
          constants, table, frequencies, row_at, column_at, lanes, width, BLOCKS: tl.constexpr, P: tl.constexpr,
          C: tl.constexpr, REACH: tl.constexpr, FIRST_REACH: tl.constexpr, RING: tl.constexpr, COLOURS: tl.constexpr,
          LEVELS: tl.constexpr, LOGISTICS: tl.constexpr, CENTRES: tl.constexpr, ERRORS: tl.constexpr,
          F: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """The horizontal stack at a pixel, after settling the one before it, and the first digit of its first colour.

    `ring` holds the stream after every block at the last REACH + 1 columns, [column, block, lane, C].
    """
    row, column = tl.load(row_at), tl.load(column_at)
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    c = tl.arange(0, C)
    tile = lane[:, None] * C + c[None, :]
    if column > 0:
        settle(pixels, planes, values, row, column - 1, lane, lanes, width, P, RING, COLOURS, LEVELS, LOGISTICS, CENTRES,
               ERRORS)  # fmt: skip
        tl.debug_barrier()  # its planes are read below, by other threads
    part = partial + column.to(tl.int64) * (2 * lanes * C) + tile
    step = width.to(tl.int64) * (2 * lanes * C)  # from a block's part to the next one's
    a, b = tl.load(part), tl.load(part + lanes * C)
    ROWS: tl.constexpr = (FIRST_REACH * P + CHUNK - 1) // CHUNK * CHUNK
    for start in tl.range(0, ROWS, CHUNK):
        k = start + tl.arange(0, CHUNK)
        x = window(planes, k, row, column + 0 * lane, lane, lanes, width, 0, 0, FIRST_REACH, -1, P, RING)
        a, b = halves(x, first_weight + start * 2 * C, a, b, CHUNK, C)
    h = updated(a, b, first_weight + ROWS * 2 * C, first_vector, constants, C)
    size = lanes * C
    tl.store(ring + (column % (REACH + 1)) * BLOCKS * size + tile, h.to(tl.float16))
    for block in tl.range(1, BLOCKS):
        part += step
        a, b = tl.load(part), tl.load(part + lanes * C)
        for back in tl.static_range(REACH, 0, -1):
            before = ring + ((tl.maximum(column - back, 0) % (REACH + 1)) * BLOCKS + block - 1) * size + tile
            old = tl.load(before, mask=(tile >= 0) & (column >= back), other=0.0)
            a, b = halves(old, weight + (REACH - back) * 2 * C * C, a, b, C, C)
        a, b = halves(h, weight + REACH * 2 * C * C, a, b, C, C)
        h += updated(a, b, weight + (REACH + 1) * 2 * C * C, vector, constants, C)
        h = tl.minimum(tl.maximum(h, -STREAM_MAX), STREAM_MAX)
        tl.store(ring + ((column % (REACH + 1)) * BLOCKS + block) * size + tile, h.to(tl.float16))
        weight += (2 * REACH + 3) * C * C
        vector += 4 * C
    if COLOURS > 1:
        tl.store(stream + tile, h.to(tl.float16))
    known = tl.zeros((LANES, KNOWN), tl.float32)
    distribution(h, known, pixels, head, head_vector, constants, table, frequencies, row, column, lane, lanes, width,
                 0, C, RING, COLOURS, LEVELS, LOGISTICS, CENTRES, F, N)  # fmt: skip


@triton.jit(do_not_specialize=["lanes", "width"])
def next_colour(pixels, values, stream, head, head_vector, constants, table, frequencies, row_at, column_at, lanes, width,
                COLOUR: tl.constexpr, C: tl.constexpr, RING: tl.constexpr, COLOURS: tl.constexpr, LEVELS: tl.constexpr,
                LOGISTICS: tl.constexpr, CENTRES: tl.constexpr, F: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """Enter the value of the colour before COLOUR; the first digit of COLOUR."""
    row, column = tl.load(row_at), tl.load(column_at)
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    value = tl.load(values + lane)
    tl.store(pixels + (((row % RING) * width + column) * COLOURS + COLOUR - 1) * lanes + lane, value)
    known = told(pixels, value, row, column, lane, lanes, width, 0, COLOUR, KNOWN, CENTRES, RING, COLOURS)
    h = tl.load(stream + lane[:, None] * C + tl.arange(0, C)[None, :])
    distribution(h, known, pixels, head, head_vector, constants, table, frequencies, row, column, lane, lanes, width,
                 COLOUR, C, RING, COLOURS, LEVELS, LOGISTICS, CENTRES, F, N)  # fmt: skip


@triton.jit
def distribution(h, known, pixels, head, vector, constants, table, frequencies, row, column, lane, lanes, width,
                 COLOUR: tl.constexpr, C: tl.constexpr, RING: tl.constexpr, COLOURS: tl.constexpr, LEVELS: tl.constexpr,
                 LOGISTICS: tl.constexpr, CENTRES: tl.constexpr, F: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """The head of one colour: its distribution into `table`, int32, and the frequencies of its first digit."""
    c, f, o = tl.arange(0, C), tl.arange(0, F), tl.arange(0, N)
    PARTS: tl.constexpr = 3 if LOGISTICS else 1
    acc = tl.zeros((LANES, F), tl.float32) + tl.load(vector + f)[None, :]
    acc = product(h, tl.load(head + c[:, None] * F + f[None, :]), acc)
    head += C * F
    if COLOUR > 0:
        acc = product(known, tl.load(head + tl.arange(0, KNOWN)[:, None] * F + f[None, :]), acc)
    head += KNOWN * F
    features = requantise(acc, tl.load(vector + F + f)[None, :], 0.0, RELU_MAX)
    vector += 2 * F
    logits = outputs(features, known, head, vector, 0, COLOUR, PARTS, F, N)
    real = o[None, :] < (LOGISTICS if LOGISTICS else LEVELS)
    logits = tl.where(real, logits, -LOGIT_MAX)
    below = (tl.max(logits, 1)[:, None] - logits).to(tl.int32)
    weight = tl.where(real, tl.load(constants + EXP + below), 0)
    if LOGISTICS:
        means = outputs(features, known, head, vector, 1, COLOUR, PARTS, F, N).to(tl.int32)
        spreads = outputs(features, known, head, vector, 2, COLOUR, PARTS, F, N)
        spreads = tl.minimum(tl.maximum(spreads, SPREAD_MIN), SPREAD_MAX)
        left, above, left_above, right_above = neighbours(pixels, COLOUR, row, column, lane, lanes, width, RING, COLOURS)
        around = tl.zeros((LANES, N), tl.float32) + median(left, above, left_above)[:, None]
        if CENTRES > 1:
            which = o[None, :] % CENTRES
            around = tl.where(which == 1, left[:, None], around)
            around = tl.where(which == 2, above[:, None], around)
            around = tl.where(which == 3, left_above[:, None], around)
            around = tl.where(which == 4, right_above[:, None], around)
        at = table + lane[:, None] * N + o[None, :]
        tl.store(at, weight)
        tl.store(at + lanes * N, means + around.to(tl.int32) * TONE)
        tl.store(at + 2 * lanes * N, tl.load(constants + STEEPNESS + spreads.to(tl.int32)))
        tl.debug_barrier()  # the table is read by other threads
        between(table, constants, frequencies, 0 * lane, BASE, lane, lanes, N)
    elif LEVELS == 2:
        tl.store(frequencies + lane[:, None] * 2 + o[None, :], weight.to(tl.float64), mask=real)
    else:
        tl.store(table + lane[:, None] * N + o[None, :], weight)
        leading = tl.sum(tl.reshape(weight, (LANES, BASE, BASE)), 2)
        tl.store(frequencies + lane[:, None] * BASE + tl.arange(0, BASE)[None, :], leading.to(tl.float64))


@triton.jit
def outputs(
    features, known, head, vector, part, COLOUR: tl.constexpr, PARTS: tl.constexpr, F: tl.constexpr, N: tl.constexpr
):
    """One part of a head's outputs, [lanes, N]."""
    o = part * N + tl.arange(0, N)
    acc = tl.zeros((LANES, N), tl.float32) + tl.load(vector + o)[None, :]
    acc = product(features, tl.load(head + tl.arange(0, F)[:, None] * (PARTS * N) + o[None, :]), acc)
    if COLOUR > 0:
        head += F * PARTS * N
        acc = product(known, tl.load(head + tl.arange(0, KNOWN)[:, None] * (PARTS * N) + o[None, :]), acc)
    return requantise(acc, tl.load(vector + PARTS * N + o)[None, :], -LOGIT_MAX, LOGIT_MAX)


@triton.jit
def between(table, constants, frequencies, low, step, lane, lanes, N: tl.constexpr):
    """Frequencies of a digit whose values begin at `low` int32 [lanes] and lie `step` apart, under a mixture."""
    digit = tl.arange(0, BASE)
    start = low[:, None] + digit[None, :] * step
    total = tl.zeros((LANES, BASE), tl.int64)
    for first in tl.range(0, N, 16):
        at = table + lane[:, None] * N + first + tl.arange(0, 16)[None, :]
        weight = tl.load(at)[:, None, :].to(tl.int64)
        mean = tl.load(at + lanes * N)[:, None, :]
        steep = tl.load(at + 2 * lanes * N)[:, None, :]
        more = reached(start + step, mean, steep, constants) - reached(start, mean, steep, constants)
        total += tl.sum(more.to(tl.int64) * weight, 2)
    tl.store(frequencies + lane[:, None] * BASE + digit[None, :], total.to(tl.float64) + FLOOR)


@triton.jit
def reached(value, mean, steep, constants):
    """Cumulative frequencies at the lower edge of values [lanes, digits], int32 [lanes, digits, components]."""
    edge = (value * TONE - TONE // 2)[:, :, None]
    x = ((edge - mean) * steep + STEEPNESS_HALF) >> STEEPNESS_BITS
    x = tl.minimum(tl.maximum(x, -SLOPE_MAX), SLOPE_MAX)
    # The first and the last value take the tails.
    x = tl.where((value == 0)[:, :, None], -SLOPE_MAX - 1, x)
    x = tl.where((value == BASE * BASE)[:, :, None], SLOPE_MAX + 1, x)
    return tl.load(constants + LOGISTIC + x)


@triton.jit(do_not_specialize=["lanes"])
def second_digit(table, constants, digits, frequencies, lanes, LOGISTICS: tl.constexpr, N: tl.constexpr):
    """Frequencies of the second digit, given the first."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    digit = tl.load(digits + lane)
    if LOGISTICS:
        between(table, constants, frequencies, digit * BASE, 1, lane, lanes, N)
    else:
        d = tl.arange(0, BASE)[None, :]
        found = tl.load(table + lane[:, None] * N + digit[:, None] * BASE + d)
        tl.store(frequencies + lane[:, None] * BASE + d, found.to(tl.float64))


@triton.jit
def sums(x, weight, start, out, K: tl.constexpr, N: tl.constexpr, ROWS: tl.constexpr):
    """The product by itself: x [programs * ROWS, K], weights [K, N], and what it starts from, [programs * ROWS, N]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k, n = tl.arange(0, K), tl.arange(0, N)
    at = row[:, None] * N + n[None, :]
    found = product(
        tl.load(x + row[:, None] * K + k[None, :]), tl.load(weight + k[:, None] * N + n[None, :]), tl.load(start + at)
    )
    tl.store(out + at, found)
