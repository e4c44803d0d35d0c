"""Models side by side on a directory's images: what these cost under each, and how long they take on this machine."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from acncodec.archive.classes import METHOD_CODED, Class, PlaneCoding
from acncodec.block.elements import PLANES, count, fits
from acncodec.block.estimate import GroupWork, coding_seconds
from acncodec.images.picture import Picture, layout
from acncodec.images.tiles import MAX_WHOLE, TILE
from acncodec.nets.model import Model
from acncodec.packing.model_choice import plane_bits
from acncodec.planning.schedule import choose_lanes

SAMPLE = 32  # pictures that are priced
PIXELS = 1 << 20  # of these at most, unless one has more


@dataclass(frozen=True)
class ModelSpeed:
    """A model on `images` of one kind: theoretical bits a pixel, each by itself, and estimated seconds for all of them."""

    model: str
    images: int
    pixels: int
    bits_per_pixel: float
    encode_seconds: float
    decode_seconds: float

    def row(self) -> dict[str, Any]:
        """All fields, and times a pixel in nanoseconds."""
        times = {f"{way}_ns_per_pixel": 1e9 * getattr(self, f"{way}_seconds") / self.pixels for way in ("encode", "decode")}
        return {**asdict(self), **times}


def model_speeds(pictures: list[Picture], models: list[Model]) -> list[ModelSpeed]:
    """Each model that can code all channels together, on the layout and size that has the most samples; smallest first."""
    kinds: dict[tuple[int, ...], list[Picture]] = {}
    for each in pictures:
        kinds.setdefault((layout(each.form), *each.samples.shape), []).append(each)
    kind = max(kinds.values(), key=lambda kind: len(kind) * kind[0].samples.size, default=[])
    together = PLANES[layout(kind[0].form)][-1] if kind else ()
    fitting = [model for model in models if len(together) == 1 and fits(model.arch, kind[0].form, together[0])]
    return sorted((_speed(kind, model) for model in fitting), key=lambda speed: speed.bits_per_pixel)


def _speed(kind: list[Picture], model: Model) -> ModelSpeed:
    height, width, _ = kind[0].samples.shape
    tile = 0 if height * width <= MAX_WHOLE else TILE
    most = max(1, min(SAMPLE, PIXELS // (height * width)))
    sample = np.stack([each.samples for each in kind[:: -(-len(kind) // most)]])
    bits = plane_bits(model, sample, tile).mean() / (height * width)
    of_all = Class(METHOD_CODED, height, width, kind[0].form, (PlaneCoding(0, tile),))
    work = [
        GroupWork(group, n, choose_lanes(n, group.height * group.width, model.arch.colours, True))
        for group, n in count([of_all], [len(kind)]).items()
    ]
    seconds = coding_seconds(work, [model])
    return ModelSpeed(model.name, len(kind), len(kind) * height * width, float(bits), seconds.encode, seconds.decode)
