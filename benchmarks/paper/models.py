"""The models that Figure 2 and Table 3 compare: one decoder, other latents, the same steps of training."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from acncodec import bundled
from acncodec.archive.atomic import write_atomically
from acncodec.exact.grids import LATENT_BITS
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.data import TrainingSet
from acncodec.training.evaluation import held_out_nats
from acncodec.training.export import export
from acncodec.training.trainer import Budget, Report, Trainer, encode_all
from benchmarks.patches import Patches, replaced
from benchmarks.variants import FEED_FORWARD, OWN_CODE_TOO, WITHOUT_LATENTS, WITHOUT_PARENT, neighbours

CHECKPOINT_SECONDS = 60
TIMED_STEPS = 40
SIZES = {  # of 1-bit digits; ours can be trained here, the paper's needs a GPU
    "ours": {"levels": 2, "channels": 16, "features": 32},
    "paper": {"levels": 2, "channels": 128, "features": 256, "blocks": 12, "hidden": 512, "encoder_features": 64},
}


@dataclass(frozen=True)
class Variant:
    """A model by the parts that replace ours; `latents` and `ordered` say which costs it has."""

    title: str
    patches: Patches = field(default_factory=dict)
    latents: bool = True
    ordered: bool = True

    def within(self) -> AbstractContextManager[None]:
        """Where it is trained and asked."""
        return replaced(self.patches)


VARIANTS = {
    "pixelcnn": Variant("Gated PixelCNN, no latents", WITHOUT_LATENTS, latents=False, ordered=False),
    "vae": Variant("VAE, feed-forward decoder", {**WITHOUT_PARENT, **FEED_FORWARD}, ordered=False),
    "pixelvae": Variant("Gated PixelVAE", WITHOUT_PARENT, ordered=False),
    "acn-5": Variant("ACN, K = 5"),
    "acn-10": Variant("ACN, K = 10", neighbours(10)),
    "acn-50": Variant("ACN, K = 50", neighbours(50)),
    "acn-100": Variant("ACN, K = 100", neighbours(100)),
    "acn-1000": Variant("ACN, K = 1000", neighbours(1000)),
    "acn-own": Variant("ACN, K = 5, own code not excluded", OWN_CODE_TOO),
}
ACN = "acn-5"  # the one of which samples and maps are made


def steps_within(minutes: float, data: TrainingSet, size: str) -> int:
    """Training steps of an ACN in this time, at the speed of the fastest of a few.

    Every variant gets as many: a budget in steps is the same whatever else the machine does, and goes on exactly.
    """
    rates: list[float] = []
    trainer = Trainer(Architecture(**SIZES[size]), data, Budget(steps=TIMED_STEPS))
    for _ in trainer.run(lambda report: rates.append(report.images_per_second), every=0):
        pass
    return max(1, round(60 * minutes * max(rates) / trainer.batch))


def trained(
    name: str, data: TrainingSet, steps: int, size: str, folder: Path, tell: Callable[[str], None]
) -> tuple[Model, dict[str, float]]:
    """A variant's model and how its codes aged, trained now or before; an interrupted training goes on."""
    target = folder / f"{name}-{size}-{steps}.safetensors"
    checkpoint = target.with_suffix(".checkpoint")
    if target.exists():
        model = bundled.load(target)
        return model, {key: float(str(value)) for key, value in model.record.items() if key.startswith("codes_")}
    folder.mkdir(parents=True, exist_ok=True)
    arch = Architecture(**SIZES[size])
    with VARIANTS[name].within():
        trainer = Trainer(arch, data, Budget(steps=steps))
        if checkpoint.exists():
            trainer.load_state(load_checkpoint(checkpoint)[0])
        saved = trainer.seconds

        def report(r: Report) -> None:
            tell(f"{name} {r.progress:4.0%} {r.images_per_second:4.0f} images/s {r.residual:.1f} + {r.kl:.1f} nats")

        for _ in trainer.run(report):
            if trainer.seconds - saved >= CHECKPOINT_SECONDS:
                save_checkpoint(checkpoint, trainer.state(), {})
                saved = trainer.seconds
        exact = trainer.exact_networks()
        residual, kl = held_out_nats(exact, data.held_out)
        record: dict[str, object] = {"held_out_residual_nats": residual, "held_out_kl_nats": kl, **staleness(trainer)}
        write_atomically(target, [bundled.model_file(export(trainer, exact, name, record))], overwrite=True)
    checkpoint.unlink(missing_ok=True)
    return trained(name, data, steps, size, folder, tell)


@torch.no_grad()
def staleness(trainer: Trainer) -> dict[str, float]:
    """How far stored codes are from what the encoder would make of their images now (ACN, section 2, the end).

    Root mean squares a dimension, in units of the posterior's deviation: `codes_stale` of stored codes from fresh ones,
    `codes_noise` of codes standardised in one batch from those in another, which is no staleness, and `codes_apart` of the
    codes of different images.
    """
    group, stored = trainer.data.train[0], trainer.codes[0].float()
    chosen = torch.randperm(len(group), generator=torch.Generator().manual_seed(0))[: 32 * trainer.batch]

    def fresh(order: torch.Tensor) -> torch.Tensor:
        codes = [encode_all(trainer.nets, group[part]).float() for part in order.split(trainer.batch)]
        return torch.cat(codes)[torch.argsort(order)]

    again = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(1))
    first, second = fresh(chosen), fresh(chosen[again])
    own = stored[chosen.sort().values]
    return {
        "codes_stale": _distance(own, first),
        "codes_noise": _distance(first, second),
        "codes_apart": _distance(own, own.roll(1, 0)),
    }


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).square().mean().sqrt()) * 2.0**-LATENT_BITS
