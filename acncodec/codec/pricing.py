"""How each content is kept, by price: coded under the model that suits it, as lossless WebP, as raw samples, or as it is.

Pictures of one layout and size are one kind. A sample of each kind is priced exactly under every candidate; where all agree
the kind follows its sample, and where not every picture of it is priced by itself.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class, PlaneCoding
from acncodec.archive.store import pack_blob
from acncodec.codec.elements import PLANES, fits, planes
from acncodec.codec.plan import posterior_offsets
from acncodec.coding.pixels import BATCH_PIXELS, residual_prices
from acncodec.coding.protocol import encode
from acncodec.coding.theory import unconditional_kl_bits
from acncodec.exact.precision import full_precision
from acncodec.images.picture import Layout, Picture, expand, layout
from acncodec.images.strips import pack_strips
from acncodec.images.tiles import MAX_WHOLE, tiles
from acncodec.images.webp import pack_webp
from acncodec.nets.model import Model

SAMPLE = 32  # pictures of a kind that are priced first
BATCH = 256  # pictures that are priced at a time
PIXELS_AT_ONCE = 1 << 24  # where pictures are large: values of all of them
SAMPLE_TILES = 48  # of a plane that are priced in place of all
TILE = 32  # side of the tiles of large images: as good as any larger one (docs/LOG.md), and more lanes
RUN_BYTES = 1 << 20  # raw samples of a kind on which a general compressor is tried
RAW_HOPE = 1.3  # a whole set shares more than a run of it: how much smaller it may turn out
RAW_MAX = 1 << 28  # raw samples that are compressed in one piece


@dataclass(frozen=True, eq=False)
class Choice:
    """How one content is kept: its class, and the samples uint8 [H, W, C] that are coded or raw, or WebP or strips.

    A file as it is has neither.
    """

    kind: Class
    samples: np.ndarray | None = None
    data: bytes | None = None


FILE = Choice(Class(METHOD_FILE, 0, 0, b"", ()))


@dataclass
class _Priced:
    """A picture, as it is and expanded, with its best choice so far and that one's price in bits."""

    picture: Picture
    expanded: Picture | None
    best: Choice
    bits: float

    def offer(self, choice: Choice, bits: float) -> None:
        if bits < self.bits:
            self.best, self.bits = choice, bits


@dataclass(frozen=True)
class _Coding:
    """A way to code all pictures of a kind: expanded or as they are, and a model and tiles for each plane."""

    models: list[Model]
    expanded: bool
    planes: tuple[PlaneCoding, ...]

    def choice(self, each: _Priced) -> Choice:
        picture = self.picture(each)
        height, width, _ = picture.samples.shape
        return Choice(Class(METHOD_CODED, height, width, picture.form, self.planes), picture.samples)

    def picture(self, each: _Priced) -> Picture:
        return each.expanded if self.expanded and each.expanded is not None else each.picture

    def bits(self, kind: list[_Priced]) -> np.ndarray:
        """What each picture of a kind costs: float64 [N], bits."""
        samples = np.stack([self.picture(each).samples for each in kind])
        total, start = np.zeros(len(kind)), 0
        for plane, width in zip(self.planes, planes(self.picture(kind[0]).form, len(self.planes)), strict=True):
            total += plane_bits(self.models[plane.model], samples[..., start : start + width], plane.tile)
            start += width
        return total


def choose(contents: list[tuple[int, Picture | None]], models: list[Model], advance: Callable[[int], None]) -> list[Choice]:
    """A choice for each content, given as its file's size in bytes and its picture, if it is one.

    `advance` is called with the number of contents done.
    """
    kinds: dict[tuple[int, ...], list[_Priced]] = {}
    priced: dict[int, _Priced] = {}
    for index, (size, picture) in enumerate(contents):
        if picture is not None:
            priced[index] = each = _Priced(picture, expand(picture), FILE, 8.0 * size)
            other = -1 if each.expanded is None else layout(each.expanded.form)
            kinds.setdefault((layout(picture.form), other, *picture.samples.shape), []).append(each)
    advance(len(contents) - len(priced))
    forms: set[bytes] = set()
    for kind in kinds.values():
        _price_kind(kind, models, forms)
        advance(len(kind))
    _raw_if_smaller([each for kind in kinds.values() if _hopeful(kind) for each in kind])
    return [priced[i].best if i in priced else FILE for i in range(len(contents))]


def _price_kind(kind: list[_Priced], models: list[Model], forms: set[bytes]) -> None:
    """Make the best choice for pictures of one layout and size; `forms` holds those of the pictures before."""
    step = -(-len(kind) // _at_most(kind, SAMPLE))
    sample, rest = kind[::step], [each for i, each in enumerate(kind) if i % step]
    codings = list(_codings(sample, models))
    coding = min(codings, key=lambda c: c.bits(sample).sum(), default=None)
    _offer(sample, coding, forms)
    coded = [each.best.kind.method == METHOD_CODED for each in sample]
    if coding is not None and all(coded):
        mean = float(np.mean([each.bits for each in sample]))
        for each in rest:
            each.best, each.bits = coding.choice(each), mean
    else:
        _offer(rest, coding if any(coded) else None, forms)


def _codings(sample: list[_Priced], models: list[Model]) -> Iterator[_Coding]:
    """The best codings of the pictures as they are and expanded, in every way to make planes of their channels."""
    for expanded in (False, True):
        found = [each.expanded if expanded else each.picture for each in sample]
        pictures = [picture for picture in found if picture is not None]
        if len(pictures) < len(sample):
            continue
        samples = np.stack([picture.samples for picture in pictures])
        tile = 0 if samples.shape[1] * samples.shape[2] <= MAX_WHOLE else TILE
        for way in PLANES[layout(pictures[0].form)]:
            start, best = 0, []
            for width in way:
                part = samples[..., start : start + width]
                start += width
                fitting = [i for i, model in enumerate(models) if fits(model.arch, pictures[0].form, width)]
                if fitting:
                    best.append(min(fitting, key=lambda i: plane_bits(models[i], part, tile).sum()))
            if len(best) == len(way):
                yield _Coding(models, expanded, tuple(PlaneCoding(i, tile) for i in best))


def _offer(kind: list[_Priced], coding: _Coding | None, forms: set[bytes]) -> None:
    """Price each picture as WebP and, if there is a coding, coded."""
    batch = _at_most(kind, BATCH)
    coded = [coding.bits(kind[i : i + batch]) for i in range(0, len(kind), batch)] if coding else []
    for i, each in enumerate(kind):
        height, width, _ = each.picture.samples.shape
        form_bits = _form_bits(each.picture.form, forms)
        data = pack_webp(each.picture.samples)
        if data is not None:
            webp = Class(METHOD_WEBP, height, width, each.picture.form, ())
            each.offer(Choice(webp, data=data), 8 * len(data) + form_bits)
        if coding is not None:
            each.offer(coding.choice(each), coded[i // batch][i % batch] + form_bits)


def _at_most(kind: list[_Priced], number: int) -> int:
    """How many pictures of a kind may be taken at once, `number` if they are small."""
    return max(1, min(number, PIXELS_AT_ONCE // kind[0].picture.samples.size)) if kind else 1


@full_precision()
def plane_bits(model: Model, samples: np.ndarray, tile: int) -> np.ndarray:
    """What each plane uint8 [N, H, W, C] costs under a model, tiles unconditionally: float64 [N], bits.

    Of many tiles only some are priced, the others by their share of the pixels.
    """
    cells = tiles(samples.shape[1], samples.shape[2], tile)
    cells = cells[:: -(-len(cells) // SAMPLE_TILES)]
    total, pixels = np.zeros(len(samples)), 0
    for rows, columns in cells:
        elements = np.ascontiguousarray(samples[:, rows, columns])
        size = elements.shape[1] * elements.shape[2]
        pixels += size
        batch = max(1, BATCH_PIXELS // size)
        total += np.concatenate([_element_bits(model, elements[i : i + batch]) for i in range(0, len(elements), batch)])
    return total * (samples.shape[1] * samples.shape[2] / pixels)


def _element_bits(model: Model, elements: np.ndarray) -> np.ndarray:
    """Residual and latent bits of elements uint8 [n, h, w, C] on one posterior sample each: float64 [n]."""
    codes = torch.from_numpy(encode(model, elements))
    z = codes + posterior_offsets(codes.shape)
    return residual_prices(elements, z.numpy(), model) + unconditional_kl_bits(codes, z, model.unconditional).numpy()


def _form_bits(form: bytes, forms: set[bytes]) -> float:
    """What a form costs that was not among those before."""
    if form in forms:
        return 0.0
    forms.add(form)
    return 8.0 * len(zlib.compress(form, 9))


def _hopeful(kind: list[_Priced]) -> bool:
    """Whether a general compressor, tried on a run of the kind's samples, is anywhere near the best price."""
    length = max(1, RUN_BYTES // len(_raw(kind[0].picture)))
    start = max(0, len(kind) - length) // 2
    run = kind[start : start + length]
    packed = pack_blob(b"".join(_raw(each.picture) for each in run))
    return 8 * len(packed) < RAW_HOPE * sum(each.bits for each in run)


def _raw_if_smaller(hopeful: list[_Priced]) -> None:
    """Keep all samples raw in one piece, compressed together, if that is smaller."""
    if not hopeful or sum(each.picture.samples.size for each in hopeful) > RAW_MAX:
        return
    packed = pack_blob(b"".join(_raw(each.picture) for each in hopeful))
    forms: set[bytes] = set()
    bits = 8 * len(packed) + sum(_form_bits(each.picture.form, forms) for each in hopeful)
    if bits < sum(each.bits for each in hopeful):
        for each in hopeful:
            height, width, _ = each.picture.samples.shape
            kind = Class(METHOD_RAW, height, width, each.picture.form, ())
            strips = _raw(each.picture) if _in_strips(each.picture) else None
            each.best = Choice(kind, each.picture.samples if strips is None else None, strips)


def _raw(picture: Picture) -> bytes:
    """A picture's samples as a general compressor likes them."""
    return pack_strips(picture.samples) if _in_strips(picture) else picture.samples.tobytes()


def _in_strips(picture: Picture) -> bool:
    """Bilevel pictures, but for those of one column: strips are told from samples by their size."""
    return layout(picture.form) == Layout.BILEVEL and picture.samples.shape[1] > 1
