"""Saving by a model on a training set, compared with other models, WebP and raw samples under LZMA."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from acncodec.archive.store import pack_blob
from acncodec.images.strips import raw_bytes
from acncodec.images.webp import pack_webp
from acncodec.nets.model import Model
from acncodec.packing.method_choice import RAW_MAX
from acncodec.training.data import TrainingSet
from acncodec.training.evaluation import held_out_nats
from acncodec.training.session import Trained

WEBP_SAMPLE = 32  # images of a size


@dataclass(frozen=True)
class Saving:
    """Bits an image (or tile) under the model and under the best alternative, `other`; `images` is their number.

    `bits` is measured on held-out images, along a tour through them.
    """

    images: int
    bits: float
    other: str
    other_bits: float
    model_bytes: int

    @property
    def saved_bytes(self) -> float:
        """In all images, the model's own bytes not counted."""
        return self.images * (self.other_bits - self.bits) / 8

    @property
    def pays_from(self) -> int | None:
        """Number of images from which the model saves more than its own size; None if never."""
        saved = self.other_bits - self.bits
        return None if saved <= 0 else -int(-8 * self.model_bytes // saved)


def saving(trained: Trained, others: list[Model]) -> Saving:
    """Compare a trained model with the others for its images, with WebP and with raw samples under LZMA in one piece."""
    model, data = trained.model, trained.data
    count = data.count + data.held_out_count
    ways = {f"the model '{each.name}'": _bits(each, data) for each in others if _alike(each, model)}
    ways["lossless WebP"] = _mean([_webp_bits(group) for group in data.held_out], data.held_out)
    groups, bilevel = [*data.train, *data.held_out], model.arch.levels == 2
    raw = b"".join(raw_bytes(each, bilevel) for group in groups for each in group.numpy())
    if len(raw) <= RAW_MAX:
        ways["raw samples under LZMA"] = 8 * len(pack_blob(raw)) / count
    other = min(ways, key=lambda way: ways[way])
    return Saving(count, _in_bits(trained.residual, trained.kl), other, ways[other], model.size)


def _alike(first: Model, second: Model) -> bool:
    values = [(model.arch.levels, model.arch.colours) for model in (first, second)]
    return values[0] == values[1] and first.sha256 != second.sha256


def _bits(model: Model, data: TrainingSet) -> float:
    return _in_bits(*held_out_nats(model.networks, data.held_out))


def _in_bits(residual: float, kl: float) -> float:
    """Nats in bits."""
    return (residual + kl) / math.log(2)


def _mean(values: list[float], groups: list[Tensor]) -> float:
    return float(np.average(values, weights=[len(group) for group in groups]))


def _webp_bits(group: Tensor) -> float:
    """Mean bits of a sample of images uint8 [N, H, W, colours] as WebP; infinite if they are too large for it."""
    sample = group[:: -(-len(group) // WEBP_SAMPLE)].numpy()
    sizes = [len(data) if (data := pack_webp(each)) else np.inf for each in sample]
    return 8 * float(np.mean(sizes))
