"""Reference implementation of the networks, in 64-bit integers and numpy: the definition of the format's arithmetic.

It is slow and shares only weights and tables with the passes that code images; the tests compare those with it bit for
bit. Images are [N, H, W, channels], rows first; every value is an integer on one of `grids`.
"""

import numpy as np

from acncodec.exact.grids import (
    CODE_MAX,
    CUMULATIVE_BITS,
    LATENT_BITS,
    LATENT_MAX,
    LOGIT_MAX,
    PRE_MAX,
    RELU_MAX,
    SLOPE_MAX,
    SPREAD_MAX,
    SPREAD_MIN,
    STREAM_BITS,
    STREAM_MAX,
    UNIT,
    WIDTH_MAX,
    WIDTH_MIN,
)
from acncodec.exact.tables import exp_table, logistic_table, steepness_table, tanh_table
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks

GRID = 7  # side of the map between image and code, and between latent and image

AROUND = (-1, 1, -1, 1)  # a window: first and last row, first and last column, relative to the pixel


def requantise(acc: np.ndarray, shift: np.ndarray | int, low: int, high: int) -> np.ndarray:
    """clamp(acc * 2^-shift, low, high), rounding half to even; |acc| < 2^24.

    `shift` is one for all, or one for each output, int64 [out].
    """
    up, down = np.clip(-np.asarray(shift), 0, 32), np.clip(shift, 0, 32)  # with 32 the result is zero or clamped
    scaled = acc << up >> down  # towards minus infinity
    rest, half = (acc << up) - (scaled << down), np.left_shift(1, down) >> 1
    scaled = scaled + (down > 0) * ((rest > half) | ((rest == half) & (scaled % 2 == 1)))
    return np.clip(scaled, low, high)


def tanh_units(pre: np.ndarray) -> np.ndarray:
    """128 * tanh(pre / 32), from the table."""
    return tanh_table().astype(np.int64)[pre + PRE_MAX]


def gate(pre: np.ndarray) -> np.ndarray:
    """tanh(a) * sigmoid(2b) = tanh(a) * (tanh(b) + 1) / 2 of [..., a and b]: [..., 2C] -> [..., C]."""
    a, b = np.split(tanh_units(pre), 2, axis=-1)
    return requantise(a * (b + UNIT), STREAM_BITS + 1, -UNIT, UNIT)


def predict(values: np.ndarray, centres: int) -> np.ndarray:
    """[N, H, W, C] -> [N, H, W, C, centres]: the median of left, above and left + above - left above; left, above, left
    above, right above.

    Outside of the image its nearest pixel is used; for the first pixel all are 128.
    """
    out = np.empty((*values.shape, 5), dtype=values.dtype)
    height, width = values.shape[1:3]
    for row in range(height):
        for column in range(width):
            left = values[:, row, column - 1] if column else values[:, row - 1, 0]
            if not row and not column:
                left = np.full_like(left, 128)
            around = [left] * 3
            if row:
                around = [values[:, row - 1, min(max(column + step, 0), width - 1)] for step in (0, -1, 1)]
            median = np.sort([left, around[0], left + around[0] - around[1]], axis=0)[1]
            out[:, row, column] = np.stack([median, left, *around], -1)
    return out[..., :centres]


def errors(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[..., n] and [..., n, K] -> 4 * (value - prediction) within +-255."""
    return np.clip(4 * (values - centres[..., 0]), -255, 255)


def tell_colours(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[..., n] and [..., n, K] -> values, 4 * (value - prediction) within +-255, and which neighbours the colours copy."""
    return np.concatenate([values, errors(values, centres), UNIT * (values[..., None] == centres[..., 1:]).all(-2)], -1)


def join_centres(centres: np.ndarray, offers: np.ndarray) -> np.ndarray:
    """The first six of offers [..., 8, colours + 1], candidates, as more centres [..., colours, K]."""
    return np.concatenate([centres, np.moveaxis(offers[..., :6, :-1], -1, -2)], -1)


def completions(offers: np.ndarray, colour: int) -> tuple[np.ndarray, np.ndarray]:
    """The last two of offers [..., 8, colours + 1], for one colour: which there are and whether both agree, and values."""
    values, found = offers[..., 6:, colour], offers[..., 6:, -1] >> colour & 1
    same = found.all(-1) & (values[..., 0] == values[..., 1])
    return UNIT * np.concatenate([found, same[..., None]], -1), values


def evidence(offers: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Which candidates there are, 16 times their strengths, what the first two equal and how they differ."""
    candidates = offers[..., :6, :]
    strength = candidates[..., -1]
    first, second = candidates[..., 0, :-1], candidates[..., 1, :-1]
    planes = [UNIT * (strength > 0), 16 * strength]
    for each in (first, second):
        planes += [UNIT * (each == centres[..., k]).all(-1, keepdims=True) for k in range(1, 5)]
    planes += [each - centres[..., 0] for each in (first, second)]
    return np.concatenate([*planes, UNIT * (first == second).all(-1, keepdims=True)], -1)


def planes_of(pixels: np.ndarray, arch: Architecture, centres: np.ndarray | None = None) -> np.ndarray:
    """uint8 [N, H, W, colours] -> [N, H, W, planes].

    Inside flag and value; for grey images flags for the least and the largest, and with `errors` the error; for colours
    inside and `tell_colours`. The centres are by default those of `predict`.
    """
    values = pixels.astype(np.int64)
    inside = np.full_like(values[..., :1], UNIT)
    centres = predict(values, arch.centres) if centres is None else centres
    if arch.logistics:
        return np.concatenate([inside, tell_colours(values, centres)], -1)
    if arch.levels == 2:
        return np.concatenate([inside, UNIT * values], -1)
    planes = [inside, values, UNIT * (values == 0), UNIT * (values == arch.levels - 1)]
    return np.concatenate([*planes, *([errors(values, centres)] if arch.errors else [])], -1)


def taps_of(x: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """All pixels in the window around each position, side by side, rows first; zeros outside of the image."""
    top, bottom, left, right = window
    height, width = x.shape[1:3]
    margin = max(map(abs, window))
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    return np.concatenate(
        [
            padded[:, margin + row : margin + row + height, margin + column : margin + column + width]
            for row in range(top, bottom + 1)
            for column in range(left, right + 1)
        ],
        axis=-1,
    )


def halve(x: np.ndarray) -> np.ndarray:
    """2x2 max pooling; an odd last row or column is pooled alone."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def bins_of(size: int) -> list[slice]:
    """GRID bins that cover `size` positions; bins overlap where GRID does not divide the size."""
    return [slice(i * size // GRID, -(-(i + 1) * size // GRID)) for i in range(GRID)]


def pool(x: np.ndarray) -> np.ndarray:
    """Largest value of each bin: [N, H, W, C] -> [N, GRID, GRID, C]."""
    rows, columns = bins_of(x.shape[1]), bins_of(x.shape[2])
    return np.stack([np.stack([x[:, r, c].max(axis=(1, 2)) for c in columns], 1) for r in rows], 1)


def stretch(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """[N, GRID, GRID, C] -> [N, height, width, C]: position i copies cell floor(i * GRID / size)."""
    return x[:, np.arange(height) * GRID // height][:, :, np.arange(width) * GRID // width]


def interleave(x: np.ndarray) -> np.ndarray:
    """Each position becomes 2x2: [N, h, w, 4C] -> [N, 2h, 2w, C]; channels hold upper left, upper right, lower left..."""
    n, h, w, c = x.shape
    out = np.empty((n, 2 * h, 2 * w, c // 4), dtype=x.dtype)
    for corner, part in enumerate(np.split(x, 4, axis=-1)):
        out[:, corner // 2 :: 2, corner % 2 :: 2] = part
    return out


class Reference:
    """The passes of exact networks, from their integer weights."""

    def __init__(self, networks: Networks) -> None:
        """`networks` must be exact."""
        self.arch = networks.arch
        self._maps: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for name, product in networks.products():
            if product.shift is None:
                raise ValueError(f"the linear map '{name}' has no integer weights yet")
            weight, bias = (p.detach().cpu().numpy().astype(np.int64) for p in (product.weight, product.bias))
            self._maps[name] = weight, bias, product.shift.numpy()

    def _apply(self, name: str, inputs: list[np.ndarray], low: int, high: int) -> np.ndarray:
        """The linear map `name` of its concatenated inputs, requantised."""
        weight, bias, shift = self._maps[name]
        return requantise(np.concatenate(inputs, -1) @ weight + bias, shift, low, high)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [N, H, W, colours] -> codes [N, code]."""
        x = planes_of(pixels, self.arch)
        x = halve(self._apply("encoder.first", [taps_of(x, AROUND)], 0, RELU_MAX))
        x = halve(self._apply("encoder.second", [taps_of(x, AROUND)], 0, RELU_MAX))
        x = pool(self._apply("encoder.third", [taps_of(x, AROUND)], 0, RELU_MAX))
        return self._apply("encoder.code", [x.reshape(len(x), -1)], -CODE_MAX, CODE_MAX)

    def mixture(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parents' codes [N, code] -> logits, means and widths of their children's latents, [N, code, components]."""
        c = codes.astype(np.int64) << (STREAM_BITS - LATENT_BITS)
        h1 = tanh_units(self._apply("prior.first", [c], -PRE_MAX, PRE_MAX))
        h2 = tanh_units(self._apply("prior.second", [c, h1], -PRE_MAX, PRE_MAX))
        h3 = tanh_units(self._apply("prior.third", [c, h2], -PRE_MAX, PRE_MAX))
        shape = len(c), self.arch.code, self.arch.mixture
        logits = self._apply("prior.logits", [h1, h2, h3], -LOGIT_MAX, LOGIT_MAX)
        means = self._apply("prior.means", [h1, h2, h3], -LATENT_MAX, LATENT_MAX)
        widths = self._apply("prior.widths", [h1, h2, h3], WIDTH_MIN, WIDTH_MAX) - WIDTH_MIN
        return logits.reshape(shape), means.reshape(shape), widths.reshape(shape)

    def latent_map(self, z: np.ndarray, height: int, width: int) -> np.ndarray:
        """Latents [N, code] -> planes [N, height, width, map_planes]."""
        x = tanh_units(self._apply("map.hidden", [z.astype(np.int64)], -PRE_MAX, PRE_MAX))
        x = self._apply("map.base", [x], 0, RELU_MAX).reshape(len(z), GRID, GRID, self.arch.map_features)
        x = stretch(x, -(-height // 4), -(-width // 4))
        x = interleave(self._apply("map.up", [taps_of(x, AROUND)], 0, RELU_MAX))
        x = interleave(self._apply("map.out", [taps_of(x, AROUND)], -STREAM_MAX, STREAM_MAX))
        return x[:, :height, :width]

    def _offers(self, pixels: np.ndarray, offers: np.ndarray | None) -> np.ndarray:
        """Those given, or none: int64 [N, H, W, 8, colours + 1]."""
        return (
            np.zeros((*pixels.shape[:3], 8, self.arch.colours + 1), np.int64) if offers is None else offers.astype(np.int64)
        )

    def stream(self, pixels: np.ndarray, z: np.ndarray, offers: np.ndarray | None = None) -> np.ndarray:
        """Pixels uint8 [N, H, W, colours] and latents [N, code] -> the decoder's last stream [N, H, W, channels].

        Models with copy candidates take `offers`, uint8 [N, H, W, 8, colours + 1], by default none. At every pixel the
        stream depends on earlier pixels and their offers alone.
        """
        centres = predict(pixels.astype(np.int64), self.arch.centres)
        if self.arch.candidates:
            centres = join_centres(centres, self._offers(pixels, offers))
        planes = planes_of(pixels, self.arch, centres)
        condition = self.latent_map(z, *pixels.shape[1:3])
        v = h = planes
        for block in range(self.arch.blocks):
            name, first = f"decoder.blocks.{block}", block == 0
            reach = (self.arch.first if first else self.arch.kernel) // 2
            last = -1 if first else 0  # the first block reads the image: only rows above, and only pixels to the left
            above, left = taps_of(v, (-reach, last, -reach, reach)), taps_of(h, (0, 0, -reach, last))
            dv = gate(self._apply(f"{name}.vertical", [above, condition], -PRE_MAX, PRE_MAX))
            v = dv if first else np.clip(v + dv, -STREAM_MAX, STREAM_MAX)
            dh = gate(self._apply(f"{name}.horizontal", [left, v, condition], -PRE_MAX, PRE_MAX))
            dh = self._apply(f"{name}.residual", [dh], -STREAM_MAX, STREAM_MAX)
            h = dh if first else np.clip(h + dh, -STREAM_MAX, STREAM_MAX)
        return h

    def logits(self, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
        """For images with one value a pixel: logits [N, H, W, levels] of every value given earlier ones."""
        features = self._apply("decoder.head.features", [self.stream(pixels, z)], 0, RELU_MAX)
        return self._apply("decoder.head.logits", [features], -LOGIT_MAX, LOGIT_MAX)

    def logistics(
        self, pixels: np.ndarray, z: np.ndarray, colour: int, offers: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For models with logistics: logits, means (1/4 level) and spreads [N, H, W, logistics] of one colour's mixture."""
        values = pixels.astype(np.int64)
        centres, told = predict(values, self.arch.centres), []
        own = centres[..., colour, :]
        if self.arch.candidates:
            known_offers = self._offers(pixels, offers)
            planes, last = completions(known_offers, colour)
            told = [evidence(known_offers, centres), planes]
            centres = join_centres(centres, known_offers)
            own = np.concatenate([centres[..., colour, :], last], -1)
        known = [tell_colours(values[..., :colour], centres[..., :colour, :])] if colour else []
        inputs = [self.stream(pixels, z, offers), *known, *told]
        features = self._apply(f"decoder.head.features.{colour}", inputs, 0, RELU_MAX)
        out = self._apply(f"decoder.head.outputs.{colour}", [features, *known], -LOGIT_MAX, LOGIT_MAX)
        logits, means, spreads = np.split(out, 3, axis=-1)
        around = own[..., np.arange(self.arch.logistics) % own.shape[-1]]
        return logits, means + 4 * around, np.clip(spreads, SPREAD_MIN, SPREAD_MAX)


def softmax_frequencies(logits: np.ndarray) -> np.ndarray:
    """[..., levels]: exp(logit - largest) on a scale of 2^20, at least 1."""
    return exp_table().astype(np.int64)[logits.max(-1, keepdims=True) - logits]


def logistics_frequencies(logits: np.ndarray, means: np.ndarray, spreads: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Frequencies of the values between consecutive `edges` [..., E + 1], whole levels from 0 to 256: [..., E]."""
    offsets = 4 * edges[..., None] - 2 - means[..., None, :]  # a value begins half a level below it
    arguments = (offsets * steepness_table().astype(np.int64)[spreads - SPREAD_MIN][..., None, :] + 8) >> 4
    reached = logistic_table().astype(np.int64)[np.clip(arguments, -SLOPE_MAX, SLOPE_MAX) + SLOPE_MAX]
    reached[edges == 0] = 0
    reached[edges == 256] = 1 << CUMULATIVE_BITS
    cumulative = (softmax_frequencies(logits)[..., None, :] * reached).sum(-1)
    return np.diff(cumulative, axis=-1) + (1 << 16)
