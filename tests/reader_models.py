"""Tables, networks and model files of the second reader (`reader.py`): sections 8, 9 and 11."""

import hashlib
import json
import zlib
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Any

import numpy as np
from reader_candidates import Copies, evidence
from reader_coders import Fields, Range, Slices, check, intervals, uniform

# [8] Tables

DECIMAL = Context(prec=40, rounding=ROUND_HALF_EVEN)


def power(x: int, over: int, base: int | None = None) -> Decimal:
    """exp(x / over), or base ** (x / over)."""
    exponent = DECIMAL.divide(Decimal(x), Decimal(over))
    return DECIMAL.exp(exponent if base is None else DECIMAL.multiply(exponent, DECIMAL.ln(Decimal(base))))


def rounded(values: Any, least: int | None = None) -> np.ndarray:
    found = [int(DECIMAL.to_integral_value(value)) for value in values]
    return np.array(found if least is None else [max(least, value) for value in found], np.int64)


@cache
def tanh_table() -> np.ndarray:
    falling = [power(-2 * abs(i), 32) for i in range(-256, 257)]
    signs = [-128] * 256 + [128] * 257
    return rounded(s * DECIMAL.divide(1 - e, 1 + e) for s, e in zip(signs, falling, strict=True))


@cache
def exp_table() -> np.ndarray:
    return rounded(((1 << 20) * power(-i, 32) for i in range(1025)), 1)


@cache
def gaussian_table() -> np.ndarray:
    pi = Decimal("3.14159265358979323846264338327950288419717")
    rows = []
    for w in range(32):
        s = 8 * power(w - 4, 8, 2)
        height = DECIMAL.divide(Decimal(1 << 20), DECIMAL.multiply(DECIMAL.sqrt(2 * pi), s))
        square = 2 * DECIMAL.multiply(s, s)
        half = [DECIMAL.multiply(height, DECIMAL.exp(DECIMAL.divide(Decimal(-o * o), square))) for o in range(201)]
        row = rounded(half, 1)
        rows.append(np.concatenate([row[:0:-1], row]))
    return np.stack(rows)


@cache
def steepness_table() -> np.ndarray:
    return rounded(4096 * power(-w, 32, 2) for w in range(-128, 193))


@cache
def logistic_table() -> np.ndarray:
    ratio, falling = power(-1, 1024), [Decimal(1)]
    for _ in range(16384):
        falling.append(DECIMAL.multiply(falling[-1], ratio))
    upper = rounded(DECIMAL.divide(Decimal(1 << 22), 1 + e) for e in falling)
    return np.concatenate([(1 << 22) - upper[:0:-1], upper])


@cache
def falls() -> np.ndarray:
    """Of every entry of the Gaussian table the first index of the exp table whose entry is no larger."""
    return (exp_table()[None] > gaussian_table().reshape(-1, 1)).sum(1).reshape(32, 401)


def tables_sha256() -> str:
    posterior = gaussian_table()[4, 164:237]
    found = [tanh_table(), exp_table(), gaussian_table(), posterior, steepness_table(), logistic_table()]
    return hashlib.sha256(b"".join(table.astype("<i4").tobytes() for table in found)).hexdigest()


# [9] Networks


def requantise(acc: np.ndarray, shifts: int | np.ndarray, low: int, high: int) -> np.ndarray:
    """`shifts` is one, or one for each output."""
    up, down = np.clip(-np.asarray(shifts), 0, 32), np.clip(shifts, 0, 32)
    acc = acc << up
    half = np.where(down > 0, (1 << np.maximum(down, 1) - 1) - 1 + (acc >> down & 1), 0)  # halves go to the even neighbour
    return np.clip(acc + half >> down, low, high)


def around(x: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """The window's pixels side by side, [n, H, W, C] -> [n, H, W, taps * C]; zeros outside."""
    _, height, width, _ = x.shape
    edge = max(-top, bottom, -left, right)
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    places = [(edge + r, edge + c) for r in range(top, bottom + 1) for c in range(left, right + 1)]
    return np.concatenate([x[:, r : r + height, c : c + width] for r, c in places], -1)


def centres(values: np.ndarray) -> np.ndarray:
    """Prediction, left, above, left above and right above of every value: [n, H, W, C] -> [n, H, W, C, 5]."""
    out = np.full((*values.shape, 5), 128)
    out[:, 0, 1:] = values[:, 0, :-1, :, None]
    out[:, 1:, 0, :, 1] = values[:, :-1, 0]
    out[:, 1:, 1:, :, 1] = values[:, 1:, :-1]
    over = np.pad(values[:, :-1], ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    out[:, 1:, ..., 2:] = np.stack([over[:, :, 1:-1], over[:, :, :-2], over[:, :, 2:]], -1)
    left, above, corner = out[..., 1], out[..., 2], out[..., 3]
    out[..., 0] = np.sort([left, above, left + above - corner], axis=0)[1]
    return out


def told(values: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Network inputs from the first c colours of pixels: [..., c] and their centres [..., c, K] -> [..., 2c + K - 1]."""
    errors = np.clip(4 * (values - near[..., 0]), -255, 255)
    copied = [128 * (values == near[..., k]).all(-1) for k in range(1, near.shape[-1])]
    return np.concatenate([values, errors, *(each[..., None] for each in copied)], -1)


def gate(pre: np.ndarray) -> np.ndarray:
    a, b = np.split(tanh_table()[pre + 256], 2, -1)
    return requantise(a * (b + 128), 8, -128, 128)


def largest(x: np.ndarray, rows: list[slice], columns: list[slice]) -> np.ndarray:
    return np.stack([np.stack([x[:, r, c].max((1, 2)) for c in columns], 1) for r in rows], 1)


def pairs(size: int) -> list[slice]:
    return [slice(i, i + 2) for i in range(0, size, 2)]


def sevenths(size: int) -> list[slice]:
    return [slice(i * size // 7, -(-(i + 1) * size // 7)) for i in range(7)]


def interleave(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    return x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)


# [11] Models

TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "U8": "<u1"}
BELLS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)


def header_of(plain: bytes) -> bytes:
    return plain[8 : 8 + int.from_bytes(plain[:8], "little")]


def tensors_of(header: bytes) -> list[dict[str, Any]]:
    """What the header says of each tensor, in the order in which they stand."""
    entries = [each for name, each in json.loads(header).items() if name != "__metadata__"]
    return sorted(entries, key=lambda each: each["data_offsets"])


def unpacked_model(packed: bytes, known: list[bytes]) -> bytes:
    """The plain file of a packed model, its base among those that are known."""
    fields = Fields(packed)
    sha256, flag = fields.take(32), fields.byte()
    check(flag < 4, "a flag is unknown")
    wanted = fields.take(32) if flag & 1 else b""
    base = next(plain for plain in known if hashlib.sha256(plain).digest() == wanted) if wanted else b""
    inflate = zlib.decompressobj(zdict=header_of(base))
    header = inflate.decompress(fields.take(int.from_bytes(fields.take(4), "little")))
    coder = Range(fields.rest())
    plain = len(header).to_bytes(8, "little") + header
    for each in tensors_of(header):
        first, last = each["data_offsets"]
        kind = np.dtype(TYPES[each["dtype"]])
        values = np.array(integers(coder, (last - first) // kind.itemsize, 4 if flag & 2 else 3), np.int64)
        if base:
            start = 8 + len(header_of(base))
            values += np.frombuffer(base[start + first : start + last], kind)
        plain += values.astype(kind).tobytes()
    check(hashlib.sha256(plain).digest() == sha256, "a model is not the one that it says it is")
    return plain


def integers(coder: Range, n: int, ways: int) -> list[int]:
    """The values of a tensor."""
    way = coder.uniform(ways)
    if way == 0:
        return [0] * n
    if way == 1:
        step = coder.uniform(16)
        return [u << step for u in bell(coder, n, BELLS[coder.uniform(13)])]
    if way == 3:
        shift = coder.uniform(16)
        upper, bounds = bell(coder, n, BELLS[coder.uniform(13)]), uniform(1 << shift)
        return [(u << shift) + (coder.symbol(bounds) if shift else 0) for u in upper]
    width = coder.uniform(34)
    values = [-(1 << width >> 1)] * n
    for shift in range((width - 1) // 12 * 12, -1, -12):
        bounds = uniform(1 << min(12, width - shift))
        values = [value + (coder.symbol(bounds) << shift) for value in values]
    return values


def bell(coder: Range, n: int, s: int) -> list[int]:
    found: list[int] = []
    frequencies = [max(1, (1 << 12) * s**3 // (s**2 + u**2) ** 2) for u in range(-127, 128)]
    while len(found) < n:
        bounds = intervals(frequencies).tolist()
        run = [coder.symbol(bounds) for _ in range(min(n - len(found), max(256, len(found)), 1 << 14))]
        for k in run:
            frequencies[k] += 16
        found += [k - 127 for k in run]
    return found


class Model:
    """A plain model file, its networks and its unconditional prior."""

    def __init__(self, data: bytes) -> None:
        self.sha256 = hashlib.sha256(data).digest()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(header_of(data))
        about = json.loads(header.pop("__metadata__")["acncodec"])
        check(about["format"] in (1, 2), "the model is of another format")
        self.arch, self.scales = about["architecture"], {k: np.array(v) for k, v in about["log2_scales"].items()}
        self.tensors = {}
        for name, each in header.items():
            first, last = each["data_offsets"]
            values = np.frombuffer(data[start + first : start + last], TYPES[each["dtype"]])
            self.tensors[name] = values.astype(np.int64).reshape(each["shape"])

    def map(self, name: str, bits: tuple[int, int], low: int, high: int, *inputs: np.ndarray) -> np.ndarray:
        """A linear map; `bits` of its input's and its output's grid."""
        acc = np.concatenate(inputs, -1) @ self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return requantise(acc, bits[0] + self.scales[name] - bits[1], low, high)

    def centres(self, x: np.ndarray) -> np.ndarray:
        return centres(x)[..., : self.arch["centres"]]

    def planes(self, x: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
        inside = np.full_like(x[..., :1], 128)
        if self.arch["logistics"]:
            return np.concatenate([inside, told(x, self.centres(x) if near is None else near)], -1)
        if self.arch["levels"] == 2:
            return np.concatenate([inside, 128 * x], -1)
        found = [inside, x, 128 * (x == 0), 128 * (x == 255)]
        if self.arch.get("errors"):
            found.append(told(x, self.centres(x) if near is None else near)[..., 1:2])
        return np.concatenate(found, -1)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Samples int64 [n, H, W, C] to codes [n, D]."""
        box = (-1, 1, -1, 1)
        x = self.map("encoder.first", (7, 5), 0, 255, around(self.planes(x), *box))
        x = largest(x, pairs(x.shape[1]), pairs(x.shape[2]))
        x = self.map("encoder.second", (5, 5), 0, 255, around(x, *box))
        x = largest(x, pairs(x.shape[1]), pairs(x.shape[2]))
        x = self.map("encoder.third", (5, 5), 0, 255, around(x, *box))
        x = largest(x, sevenths(x.shape[1]), sevenths(x.shape[2]))
        return self.map("encoder.code", (5, 3), -64, 64, x.reshape(len(x), -1))

    def prior(self, codes: np.ndarray) -> np.ndarray:
        """Frequencies [n, D, 201] of latents given their parents' codes."""
        c = 16 * codes
        h1 = tanh_table()[self.map("prior.first", (7, 5), -256, 256, c) + 256]
        h2 = tanh_table()[self.map("prior.second", (7, 5), -256, 256, c, h1) + 256]
        h3 = tanh_table()[self.map("prior.third", (7, 5), -256, 256, c, h2) + 256]
        shape = *codes.shape, self.arch["mixture"]
        logits = self.map("prior.logits", (7, 5), -512, 512, h1, h2, h3).reshape(shape)
        means = self.map("prior.means", (7, 3), -100, 100, h1, h2, h3).reshape(shape)
        widths = self.map("prior.widths", (7, 3), -4, 27, h1, h2, h3).reshape(shape) + 4
        weights = exp_table()[logits.max(-1, keepdims=True) - logits]
        return (weights[..., None] * gaussians(widths, means)).sum(-2)

    def pop_latents(self, stack: Slices, n: int, parents: np.ndarray | None) -> np.ndarray:
        """Latents int64 [n, D]."""
        if parents is not None:
            return stack.pops(self.prior(parents)) - 100
        weights, means, widths = (self.tensors[f"unconditional.{name}"] for name in ("weights", "means", "widths"))
        k = stack.pops(np.broadcast_to(weights, (n, len(weights))))
        z = stack.pops((1 << 20) * gaussians(widths[k], means[k])) - 100
        score = -falls()[widths, z[:, None] - means + 200].sum(-1)
        below = np.minimum(score.max(1, keepdims=True) - score, 1024)
        stack.pushes(k, exp_table()[below] * weights)
        return z

    def latent_map(self, z: np.ndarray, height: int, width: int) -> np.ndarray:
        x = tanh_table()[self.map("map.hidden", (3, 5), -256, 256, z) + 256]
        x = self.map("map.base", (7, 5), 0, 255, x).reshape(len(z), 7, 7, -1)
        h, w = -(-height // 4), -(-width // 4)
        x = x[:, np.arange(h) * 7 // h][:, :, np.arange(w) * 7 // w]
        x = interleave(self.map("map.up", (5, 5), 0, 255, around(x, -1, 1, -1, 1)))
        x = interleave(self.map("map.out", (5, 7), -1024, 1024, around(x, -1, 1, -1, 1)))
        return x[:, :height, :width]

    def stream(self, x: np.ndarray, near: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """The horizontal stream after the last block, [n, H, W, channels]; `near` are all centres."""
        v = h = self.planes(x, near)
        for number in range(self.arch["blocks"]):
            name, r = f"decoder.blocks.{number}", self.arch["kernel" if number else "first"] // 2
            last = 0 if number else -1
            dv = gate(self.map(f"{name}.vertical", (7, 5), -256, 256, around(v, -r, last, -r, r), condition))
            v = np.clip(v + dv, -1024, 1024) if number else dv
            pre = self.map(f"{name}.horizontal", (7, 5), -256, 256, around(h, 0, 0, -r, last), v, condition)
            dh = self.map(f"{name}.residual", (7, 7), -1024, 1024, gate(pre))
            h = np.clip(h + dh, -1024, 1024) if number else dh
        return h

    def pop_value(
        self,
        stack: Slices,
        h: np.ndarray,
        known: np.ndarray,
        near: np.ndarray,
        facts: list[np.ndarray],
        rest: np.ndarray | None,
        colour: int,
    ) -> np.ndarray:
        """One colour of one pixel of every lane: stream [n, channels], values [n, C], their centres [n, C, K] -> [n].

        `facts` are those of copy candidates, [n, planes], and `rest` completions, [n, 2, 2], if the model has these.
        """
        if not self.arch["logistics"]:
            features = self.map("decoder.head.features", (7, 5), 0, 255, h)
            logits = self.map("decoder.head.logits", (5, 5), -512, 512, features)
            f = exp_table()[logits.max(-1, keepdims=True) - logits]
            if self.arch["levels"] == 2:
                return stack.pops(f)
            grouped = f.reshape(-1, 16, 16)
            high = stack.pops(grouped.sum(-1))
            return 16 * high + stack.pops(grouped[np.arange(len(high)), high])
        before = [told(known[:, :colour], near[:, :colour])] if colour else []
        if rest is not None:
            same = rest[..., 1].all(-1) & (rest[:, 0, 0] == rest[:, 1, 0])
            facts = [*facts, 128 * np.concatenate([rest[..., 1], same[:, None]], -1)]
        features = self.map(f"decoder.head.features.{colour}", (7, 5), 0, 255, h, *before, *facts)
        out = self.map(f"decoder.head.outputs.{colour}", (5, 5), -512, 512, features, *before)
        logits, means, spreads = np.split(out, 3, -1)
        own = near[:, colour] if rest is None else np.concatenate([near[:, colour], rest[..., 0]], -1)
        middles = own[:, np.arange(means.shape[1]) % own.shape[-1]]
        parameters = logits, means + 4 * middles, np.clip(spreads, -128, 192)
        digits = np.broadcast_to(np.arange(17), (len(h), 17))
        high = stack.pops(logistics(*parameters, 16 * digits))
        return 16 * high + stack.pops(logistics(*parameters, 16 * high[:, None] + digits))

    def pop_samples(self, stack: Slices, z: np.ndarray, height: int, width: int, copies: list[Copies]) -> np.ndarray:
        """Samples int64 [n, height, width, C]; `copies` of each image in models with copy candidates."""
        condition = self.latent_map(z, height, width)
        x = np.zeros((len(z), height, width, self.arch["colours"]), np.int64)
        candidates = np.zeros((len(z), height, width, self.arch.get("candidates", 0), x.shape[-1] + 1), np.int64)
        for row in range(height):
            for column in range(width):
                for image, each in enumerate(copies):
                    candidates[image, row, column] = each.candidates(row, column)
                part = slice(0, row + 1)
                near = self.centres(x[:, part])
                facts = [evidence(candidates[:, row, column], near[:, row, column])] if copies else []
                if copies:
                    near = np.concatenate([near, np.moveaxis(candidates[:, part, ..., :-1], -1, -2)], -1)
                h = self.stream(x[:, part], near, condition[:, part])[:, row, column]
                for colour in range(x.shape[-1]):
                    values = x[:, row, column], near[:, row, column]
                    known = x[:, row, column, :colour].tolist()
                    rest = np.zeros((len(z), 2, 2), np.int64) if copies else None
                    if rest is not None and colour:
                        rest = np.stack([each.completions(own) for each, own in zip(copies, known, strict=True)])
                    x[:, row, column, colour] = self.pop_value(stack, h, *values, facts, rest, colour)
                for image, each in enumerate(copies):
                    each.learn(row, column, x[image, row, column].tolist())
        return x

    def push_latents(self, stack: Slices, z: np.ndarray, codes: np.ndarray) -> None:
        symbols = z - codes + 36
        check(((symbols >= 0) & (symbols <= 72)).all(), "a latent lies outside of its posterior")
        stack.pushes(symbols, np.broadcast_to(gaussian_table()[4, 164:237], (*z.shape, 73)))


def gaussians(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The Gaussian table at every latent: [...] -> [..., 201]."""
    return gaussian_table()[rows[..., None], np.arange(-100, 101) - means[..., None] + 200]


def logistics(logits: np.ndarray, means: np.ndarray, spreads: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Frequencies between edges [n, E + 1] of mixtures [n, M]: [n, E]."""
    offset = 4 * edges[:, :, None] - 2 - means[:, None]
    slope = np.clip(offset * steepness_table()[spreads + 128][:, None] + 8 >> 4, -16384, 16384)
    reached = logistic_table()[slope + 16384]
    reached[edges == 0] = 0
    reached[edges == 256] = 1 << 22
    weights = exp_table()[logits.max(-1, keepdims=True) - logits]
    return np.diff((weights[:, None] * reached).sum(-1)) + (1 << 16)
