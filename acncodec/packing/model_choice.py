"""Choice of models for pictures of one kind: as they are or expanded, in which planes, whole or in tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from acncodec.archive.classes import METHOD_CODED, Class, PlaneCoding
from acncodec.block.elements import PLANES, fill, fits, opaque, planes
from acncodec.coding.element_costs import element_bits
from acncodec.exact.precision import full_precision
from acncodec.images.picture import Picture, layout
from acncodec.images.raster import Layout
from acncodec.images.tiles import MAX_WHOLE, TILE, tiles
from acncodec.nets.model import Model

SAMPLE_TILES = 48  # of a plane that are priced in place of all
FEW_TILES = 12  # on which all models are tried first
PLAINLY = 1.1  # models dearer than the best by this factor on FEW_TILES are dropped


@dataclass(eq=False)
class PictureVariants:
    """A picture as it is, and expanded where it has a palette."""

    picture: Picture
    expanded: Picture | None

    @property
    def kind(self) -> tuple[int, ...]:
        """Layouts and size: equal for pictures of one kind, which are coded alike."""
        other = -1 if self.expanded is None else layout(self.expanded.form)
        return layout(self.picture.form), other, *self.picture.samples.shape


@dataclass(frozen=True)
class Coding:
    """A way to code all pictures of a kind: expanded or as they are, and a model and tiles for each plane."""

    models: list[Model]
    expanded: bool
    planes: tuple[PlaneCoding, ...]

    def class_of(self, each: PictureVariants) -> Class:
        """The class of a picture that is coded so."""
        picture = self.picture(each)
        height, width, _ = picture.samples.shape
        return Class(METHOD_CODED, height, width, picture.form, self.planes)

    def picture(self, each: PictureVariants) -> Picture:
        return each.expanded if self.expanded and each.expanded is not None else each.picture

    def elements(self, each: PictureVariants) -> Iterator[tuple[int, np.ndarray]]:
        """A picture's elements, uint8 [H, W, C], each with the index of its model."""
        picture, start = self.picture(each), 0
        height, width, _ = picture.samples.shape
        for plane, count in zip(self.planes, planes(picture.form, len(self.planes)), strict=True):
            for rows, columns in tiles(height, width, plane.tile):
                samples = picture.samples[rows, columns, start : start + count]
                yield plane.model, fill(samples, self.models[plane.model].arch)
            start += count

    def bits(self, kind: Sequence[PictureVariants], others: Sequence[np.ndarray] = ()) -> np.ndarray:
        """What each picture of a kind costs, in a set with `others` as of `copied_from`: float64 [N], bits."""
        samples = np.stack([self.picture(each).samples for each in kind])
        total, start = np.zeros(len(kind)), 0
        for plane, width in zip(self.planes, planes(self.picture(kind[0]).form, len(self.planes)), strict=True):
            part = samples[..., start : start + width]
            total += plane_bits(self.models[plane.model], part, plane.tile, others=others)
            start += width
        return total


def copied_from(kind: Sequence[PictureVariants]) -> list[np.ndarray]:
    """Pictures of a kind as what models of four colours may copy from: uint8 [N, H, W, 4], or nothing if they are grey."""
    pictures = [each.expanded or each.picture for each in kind]
    if not pictures or layout(pictures[0].form) not in (Layout.RGB, Layout.RGBA):
        return []
    return [opaque(np.stack([picture.samples for picture in pictures]))]


def best_coding(
    sample: Sequence[PictureVariants], models: list[Model], others: Sequence[np.ndarray] = ()
) -> tuple[Coding, np.ndarray] | None:
    """The coding under which the sample of a kind is smallest, if there is any, and its prices: float64 [N], bits.

    `others` as of `copied_from`.
    """
    return min(_codings(sample, others, models), key=lambda found: found[1].sum(), default=None)


def _codings(
    sample: Sequence[PictureVariants], others: Sequence[np.ndarray], models: list[Model]
) -> Iterator[tuple[Coding, np.ndarray]]:
    """The best codings of the pictures as they are and expanded, in every way to make planes of their channels.

    Each with the pictures' prices: float64 [N], bits.
    """
    for expanded in (False, True):
        found = [each.expanded if expanded else each.picture for each in sample]
        pictures = [picture for picture in found if picture is not None]
        if len(pictures) < len(sample):
            continue
        samples = np.stack([picture.samples for picture in pictures])
        tile = 0 if samples.shape[1] * samples.shape[2] <= MAX_WHOLE else TILE
        for way in PLANES[layout(pictures[0].form)]:
            start, best, bits = 0, [], np.zeros(len(sample))
            for width in way:
                part = samples[..., start : start + width]
                start += width
                fitting = [i for i, model in enumerate(models) if fits(model.arch, pictures[0].form, width)]
                if fitting:
                    index, prices = _best_model(models, fitting, part, others, tile)
                    best.append(PlaneCoding(index, tile))
                    bits += prices
            if len(best) == len(way):
                yield Coding(models, expanded, tuple(best)), bits


def _best_model(
    models: list[Model], fitting: list[int], samples: np.ndarray, others: Sequence[np.ndarray], tile: int
) -> tuple[int, np.ndarray]:
    """Which model of those in `fitting` is cheapest for planes uint8 [N, H, W, C], and its prices: float64 [N], bits.

    What is plainly dearer on a few tiles is not tried on more.
    """
    if tile and len(fitting) > 1:
        hints = [plane_bits(models[i], samples, tile, FEW_TILES).sum() for i in fitting]
        fitting = [i for i, hint in zip(fitting, hints, strict=True) if hint <= PLAINLY * min(hints)]
    prices = [plane_bits(models[i], samples, tile, others=others) for i in fitting]
    best = min(range(len(fitting)), key=lambda n: prices[n].sum())
    return fitting[best], prices[best]


@full_precision()
def plane_bits(
    model: Model, samples: np.ndarray, tile: int, most: int = SAMPLE_TILES, others: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """What each plane uint8 [N, H, W, C] costs under a model, tiles unconditionally: float64 [N], bits.

    Whole planes may be copied from `others`, uint8 [M, h, w, 4]. Of a plane in tiles at most `most` windows are priced, the
    others by their share of the pixels. Windows have the side of the largest tiles: were each picture's own sizes priced,
    making the kernel's programs for them would take longest.
    """
    samples = fill(samples, model.arch)
    if not tile:
        return element_bits(model, np.ascontiguousarray(samples), others if model.arch.colours == 4 else ())
    count, height, width, _ = samples.shape
    cells = tiles(height, width, tile)
    side = min(tile, height), min(tile, width)
    corners = [(min(y.start, height - side[0]), min(x.start, width - side[1])) for y, x in cells[:: -(-len(cells) // most)]]
    windows = np.concatenate([samples[:, y : y + side[0], x : x + side[1]] for y, x in corners])
    bits = element_bits(model, windows).reshape(len(corners), count).mean(axis=0)
    return bits * (height * width / (side[0] * side[1]))
