"""The experiments of benchmarks/recipe.py: each changes one thing in the architecture or the training.

Settings and parts of networks are replaced during an experiment, so that the package needs no options for rejected
variants.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from acncodec.nets.architecture import Architecture
from acncodec.nets.conditioning import _stretch
from acncodec.training.draws import Sample, draw_prior_sample
from acncodec.training.objective import Objective, code_length
from acncodec.training.step import Stepper
from benchmarks.patches import Patches
from benchmarks.rounding_cost import NOTHING_ROUNDED
from benchmarks.variants import CODE_LENGTH, STEP, TRAINER, WITHOUT_LATENTS, WITHOUT_PARENT, neighbours

OBJECTIVE = "acncodec.training.objective.Objective.forward"
STEP_OF_PRIOR = f"{STEP}.Stepper._step_of_prior"
CROPPED = 4  # rows and columns


@dataclass(frozen=True)
class Experiment:
    """One change: to fields of the architecture, to what stands under dotted names, or to that for a first share only."""

    title: str
    architecture: dict[str, int] = field(default_factory=dict)
    patches: Patches = field(default_factory=dict)
    latents: bool = True
    share: float = 0.0
    first: Patches = field(default_factory=dict)  # until this share of the budget is spent
    seed: int = 0


def _rmsprop(parameters: Any, rate: Tensor, *, capturable: bool, **_: Any) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, rate, alpha=0.95, momentum=0.9, capturable=capturable)


def _adamw(parameters: Any, rate: Tensor, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, rate, weight_decay=0.1, **options)


def _cheap_latents(*batch: Any) -> tuple[Tensor, Tensor]:
    residual, kl = code_length(*batch)
    return residual, kl * 0.1


_objective = Objective.forward


def _middle(x: Tensor, height: int, width: int) -> Tensor:
    """One vector for the whole image instead of a map."""
    return _stretch(x[:, 3:4, 3:4].expand_as(x), height, width)


def _flipped(self: Objective, pixels: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random half of the batches mirrored; an image and its mirror image share an entry among the codes."""
    return _objective(self, pixels.flip(2) if torch.rand(()) < 0.5 else pixels, *rest)


def _cropped(self: Objective, pixels: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random half of the batches without CROPPED rows and columns, taken from random sides."""
    if torch.rand(()) < 0.5:
        top, left = torch.randint(CROPPED + 1, (2,)).tolist()
        height, width = pixels.shape[1] - CROPPED, pixels.shape[2] - CROPPED
        pixels = pixels[:, top : top + height, left : left + width].contiguous()
    return _objective(self, pixels, *rest)


_prior_step = Stepper._step_of_prior


def _four_prior_steps(self: Stepper, codes: Tensor, sample: Sample) -> None:
    for _ in range(4):
        fresh = draw_prior_sample(codes, torch.default_generator)
        _prior_step(self, codes, Sample(*(each.to(codes.device) for each in fresh)))


def _rate(value: float) -> Patches:
    return {f"{TRAINER}.LEARNING_RATE": value}


def _batch(size: int) -> Patches:
    return {f"{TRAINER}.BATCH": size, f"{TRAINER}.COLOUR_BATCH": size}


# Of all that do not say otherwise; what is replaced in the midst of a training would stay in a recorded step.
BASE = {**_rate(2e-3), f"{STEP}.MOST_RECORDED": 0}


def experiments(base: Architecture, batch: int) -> dict[str, Experiment]:
    """All, by name, as changes of this architecture and size of batches."""
    channels = base.channels
    found = {
        "base": Experiment("as `acncodec train` did it before"),
        "base-again": Experiment("the same from another seed", seed=1),
        "no-latents": Experiment("no latents: the PixelCNN alone", patches=WITHOUT_LATENTS, latents=False),
        "unordered": Experiment("prior without a parent", patches=WITHOUT_PARENT),
        "prior-alone-0": Experiment(
            "no steps of the prior alone", patches={STEP_OF_PRIOR: lambda self, codes, sample: None}
        ),
        "prior-alone-4": Experiment("four steps of the prior alone for each", patches={STEP_OF_PRIOR: _four_prior_steps}),
        "batch-half": Experiment(f"batches of {batch // 2}", patches=_batch(batch // 2)),
        "batch-double": Experiment(f"batches of {batch * 2}", patches=_batch(batch * 2)),
        "rate-half": Experiment("learning rate 1e-3", patches=_rate(1e-3)),
        "rate-double": Experiment("learning rate 4e-3", patches=_rate(4e-3)),
        "rate-fourfold": Experiment("learning rate 8e-3", patches=_rate(8e-3)),
        "both": Experiment(f"batches of {batch // 2} and 4e-3", patches={**_batch(batch // 2), **_rate(4e-3)}),
        "average-less": Experiment("averaged weights of decay 0.99", patches={f"{TRAINER}.AVERAGING": 0.99}),
        "average-none": Experiment("the last weights, not averaged", patches={f"{TRAINER}.AVERAGING": 0.0}),
        "crops": Experiment(f"half of the batches cropped by {CROPPED}", patches={OBJECTIVE: _cropped}),
        "wide": Experiment("half as many channels again, 3 blocks", {"channels": channels * 3 // 2, "blocks": 3}),
        "deep": Experiment("three quarters of the channels, 10 blocks", {"channels": channels * 3 // 4, "blocks": 10}),
        "first-5": Experiment("first window 5x5 instead of 7x7", {"first": 5}),
        "kernel-5": Experiment("windows of 5x5, 3 blocks", {"kernel": 5, "blocks": 3}),
        "vector": Experiment("latent as one vector, not a map", patches={"acncodec.nets.conditioning._stretch": _middle}),
        "rounding-late": Experiment("rounding in the last fifth only", share=0.8, first=NOTHING_ROUNDED),
        "cheap-latents": Experiment("KL counted a tenth at first", share=0.2, first={CODE_LENGTH: _cheap_latents}),
        "k-1": Experiment("K = 1 neighbour", patches=neighbours(1)),
        "k-50": Experiment("K = 50 neighbours", patches=neighbours(50)),
        "scale-1": Experiment("codes of deviation 1", patches={"acncodec.nets.encoder.CODE_DEVIATION": 1.0}),
        "scale-4": Experiment("codes of deviation 4", patches={"acncodec.nets.encoder.CODE_DEVIATION": 4.0}),
        "mixture-2": Experiment("2 Gaussians a dimension instead of 8", {"mixture": 2}),
        "adamw": Experiment("AdamW, decay 0.1", patches={"torch.optim.Adam": _adamw}),
        "rmsprop": Experiment("RMSprop, the paper's rate of 1e-5", patches={"torch.optim.Adam": _rmsprop, **_rate(1e-5)}),
        "rmsprop-fast": Experiment("RMSprop, 2e-4", patches={"torch.optim.Adam": _rmsprop, **_rate(2e-4)}),
    }
    if base.levels == 256 and not base.logistics:
        found["errors"] = Experiment("a plane of prediction errors", {"errors": 1})
    if base.logistics:
        found["logistics-4"] = Experiment("4 logistics a colour instead of 8", {"logistics": 4})
        found["logistics-12"] = Experiment("12 logistics a colour instead of 8", {"logistics": 12})
        found["centres-5"] = Experiment("10 logistics around 5 predictions", {"logistics": 10, "centres": 5})
        found["flips"] = Experiment("half of the batches mirrored", patches={OBJECTIVE: _flipped})
        found["features-96"] = Experiment("head of 96 features instead of 48", {"features": 96})
    return found
