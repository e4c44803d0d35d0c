"""A training by Algorithm 1 of the ACN paper: its batches, budget, reports and state; `step.py` has the steps."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.nets.planes import to_planes
from acncodec.training.data import TrainingSet, batch_length
from acncodec.training.histories import draw_offers
from acncodec.training.step import Stepper
from acncodec.training.world import World

BATCH = 64
COLOUR_BATCH = 16  # of photographs: more steps help more than larger batches
LEARNING_RATE = 4e-3  # falls linearly to zero over the budget
START_RATE = 1e-3  # when starting from a model, which a high rate would spoil at first
WARM_UP = 200  # steps, or WARM_UP_SHARE of the budget if that is less, in which the rate rises from zero
WARM_UP_SHARE = 0.1
AVERAGING = 0.999  # decay of the averaged weights
RESCALE_EVERY = 50  # steps between choices of the weights' power-of-two scales
COOLING = 0.3  # share of the time spent so far in which the learning rate falls to zero on early stopping
ALONE, CPU = World(), torch.device("cpu")


@dataclass
class Budget:
    """How long to train: by the clock, or by steps (exactly repeatable)."""

    minutes: float | None = None
    steps: int | None = None

    def used(self, seconds: float, step: int) -> float:
        """What the budget counts: steps, or seconds."""
        return seconds if self.steps is None else step

    def spent(self, seconds: float, step: int) -> float:
        """Share of the budget that is spent, from 0 to 1."""
        whole = self.steps if self.steps is not None else 60 * (self.minutes or 0)
        return min(1.0, self.used(seconds, step) / whole)


@dataclass
class Report:
    """Means over the steps since the last report: nats an image."""

    step: int
    epoch: int
    seconds: float
    images_per_second: float
    residual: float
    kl: float
    progress: float
    way: str  # of the steps on CUDA: "recorded", or "called" where they are not (yet); "" on the CPU


class Trainer:
    """The whole state of a training; `state` and `load_state` make it resume exactly."""

    def __init__(
        self,
        arch: Architecture,
        data: TrainingSet,
        budget: Budget,
        seed: int = 0,
        start: Networks | None = None,
        *,
        batch: int | None = None,
        decoder_alone: bool = False,
        world: World = ALONE,
        device: torch.device = CPU,
        compiled: bool = False,
    ) -> None:
        """From random weights, or from those of the exact networks `start` of the same architecture.

        `batch` is the number of images a step over all processes of `world`. With `decoder_alone` the encoder stays as in
        `start`, and with it codes and their prior. `device` holds networks, images and codes. A `compiled` step is faster,
        but takes a minute to compile.
        """
        self.data, self.budget, self.world, self.device = data, budget, world, device
        self.batch = batch or (COLOUR_BATCH if arch.logistics else BATCH)
        with torch.random.fork_rng(devices=[]):  # the caller's generators are left unchanged
            torch.default_generator.manual_seed(seed)
            self.nets = Networks(arch)
        self._kept = start if decoder_alone else None
        if start is not None:
            take_weights(self.nets, start)
        if self._kept:
            self.nets.encoder.requires_grad_(False)
            self.nets.prior.requires_grad_(False)
        self.nets.to(device)
        self.nets.choose_scales()
        self.averaged = copy.deepcopy(self.nets).requires_grad_(False)
        self.rate = START_RATE if start else LEARNING_RATE
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.epoch, self.seconds = 0, 0, 0.0
        self.end_began: tuple[float, float] | None = None  # budget used and progress when early stopping began
        self.position = 0  # of the next batch within its epoch
        self.shuffle = self.generator.get_state()  # state to draw the epoch's batches from again on resuming
        self.codes = [encode_all(self._kept or self.nets, group).to(device) for group in data.train]
        self.stepper = Stepper(
            self.nets, self.averaged, data, self.codes, self.rate, world, decoder_alone=decoder_alone, compiled=compiled
        )
        self.optimiser = self.stepper.optimiser

    def cool(self) -> None:
        """Start early stopping: the learning rate falls to zero within COOLING of the time spent so far."""
        if self.end_began is None:
            progress = self.budget.spent(self.seconds, self.step)
            self.end_began = self.budget.used(self.seconds, self.step), progress

    def progress(self, seconds: float, step: int) -> float:
        """Progress of the training, from 0 to 1; the learning rate falls with it."""
        spent = self.budget.spent(seconds, step)
        if self.end_began is None or spent == 1:
            return spent
        used, progress = self.end_began
        share = (self.budget.used(seconds, step) - used) / max(COOLING * used, 1e-9)
        return progress + (1 - progress) * min(1.0, max(0.0, share))

    def run(self, report: Callable[[Report], None], every: float = 10.0) -> Iterator[None]:
        """Train until the budget is spent; report and yield (for checkpoints) every `every` seconds."""
        self.stepper.sums.zero_()
        count = 0
        start = last = self.world.agree(time.monotonic())
        while (progress := self.progress(self.seconds, self.step)) < 1:
            self.shuffle = self.generator.get_state() if self.position == 0 else self.shuffle
            shuffler = torch.Generator()
            shuffler.set_state(self.shuffle)
            batches = self.data.batches(self.batch, shuffler)
            if self.position == 0:
                self.generator.set_state(shuffler.get_state())
            self._draw_offers()
            for group, indices in batches[self.position :]:
                self._step(group, indices, progress)
                count += len(indices)
                self.position += 1
                now = self.world.agree(time.monotonic())
                progress = self.progress(self.seconds + now - start, self.step)
                if now - last >= every or progress >= 1:
                    self.stepper.wait()
                    now = self.world.agree(time.monotonic())
                    self.seconds += now - start
                    residual, kl = (self.world.total(self.stepper.sums) / count).tolist()
                    rate, way = count / (now - last), self.stepper.way
                    report(Report(self.step, self.epoch, self.seconds, rate, residual, kl, progress, way))
                    self.stepper.sums.zero_()
                    count = 0
                    yield
                    start = last = self.world.agree(time.monotonic())  # time spent in the caller does not count
                if progress >= 1:
                    return
            self.epoch, self.position = self.epoch + 1, 0

    def _draw_offers(self) -> None:
        """The epoch's copy candidates, for models with them."""
        if self.nets.arch.candidates:
            generator = torch.Generator().manual_seed(self.epoch)
            self.stepper.set_offers([draw_offers(group, generator) for group in self.data.train])

    def _step(self, group: int, indices: Tensor, progress: float) -> None:
        """One step on the images at `indices` of a group."""
        decay = min(AVERAGING, (2 + self.step) / (11 + self.step))
        rate = self.rate * min(1.0, max((self.step + 1) / WARM_UP, progress / WARM_UP_SHARE)) * (1 - progress)
        draws = self.stepper.draw(group, indices, self.generator, rate, 1 - decay)
        self.stepper.run(group, draws, rescale=self.step % RESCALE_EVERY == 0)
        self.step += 1

    def exact_networks(self, averaged: Networks | None = None) -> Networks:
        """The averaged weights, or those given, as integers, with codes standardised over training images.

        Raises BoundError.
        """
        nets = copy.deepcopy(averaged or self.averaged).cpu()
        nets.choose_scales()
        if self._kept is None:
            nets.encoder.standardise(*raw_statistics(nets, self.data.train[0]))
        return nets.freeze()

    def state(self) -> dict[str, Tensor]:
        """Everything that resuming needs, as tensors."""
        tensors: dict[str, Tensor] = {f"nets.{k}": v for k, v in self.nets.named_parameters()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.named_parameters()}
        for i, slots in enumerate(self.optimiser.state_dict()["state"].values()):
            tensors |= {f"optimiser.{i}.{k}": v for k, v in slots.items()}
        tensors |= {f"codes.{g}": codes for g, codes in enumerate(self.codes)}
        tensors |= {f"scales.{name}": product.scale for name, product in self.nets.products()}
        tensors |= {"generator": self.generator.get_state(), "shuffle": self.shuffle}
        tensors["counters"] = torch.tensor([self.step, self.epoch, self.position, self.seconds], dtype=torch.float64)
        tensors["end_began"] = torch.tensor(self.end_began or (), dtype=torch.float64)
        return {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state()`'s tensors, before the first step; data and architecture must be the same.

        Raises KeyError if one is missing.
        """
        for prefix, nets in (("nets", self.nets), ("averaged", self.averaged)):
            for key, parameter in nets.named_parameters():
                parameter.copy_(tensors[f"{prefix}.{key}"])
        slots = ("step", "exp_avg", "exp_avg_sq")
        parameters = self.optimiser.param_groups[0]["params"]
        states = {i: {k: tensors[f"optimiser.{i}.{k}"] for k in slots} for i in range(len(parameters))}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        self.optimiser.param_groups[0]["lr"] = self.stepper.rate  # not a copy of it
        for g, codes in enumerate(self.codes):
            codes.copy_(tensors[f"codes.{g}"])
        for name, product in self.nets.products():
            product.scale.copy_(tensors[f"scales.{name}"])
        self.generator.set_state(tensors["generator"])
        self.shuffle = tensors["shuffle"]
        step, epoch, position, self.seconds = tensors["counters"].tolist()
        self.end_began = tuple(tensors["end_began"].tolist()) or None
        self.step, self.epoch, self.position = int(step), int(epoch), int(position)


@torch.no_grad()
def take_weights(nets: Networks, exact: Networks) -> None:
    """Set trainable networks to the weights of exact ones of the same architecture."""
    for (_, product), (_, known) in zip(nets.products(), exact.products(), strict=True):
        product.weight.copy_(known.weight / known.scale)
        product.bias.copy_(known.bias / (known.scale * 2.0**known.in_bits))


@torch.no_grad()
def encode_all(nets: Networks, pixels: Tensor) -> Tensor:
    """Codes of images uint8 [N, H, W, colours]: int8 [N, code], on the networks' device.

    With trainable networks they are standardised per batch.
    """

    def encode(part: Tensor) -> Tensor:
        part = part.to(nets.device)
        return nets.encode(part) if nets.exact else nets.encoder.forward_standardised(to_planes(part, nets.arch))[0]

    return torch.cat([encode(part) for part in pixels.split(batch_length(pixels))]).to(torch.int8)


@torch.no_grad()
def raw_statistics(nets: Networks, pixels: Tensor, limit: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean and deviation [code] of the encoder's outputs before standardisation."""
    parts = pixels[:limit].split(batch_length(pixels))
    raw = torch.cat([nets.encoder.forward_standardised(to_planes(part, nets.arch))[1] for part in parts])
    return raw.mean(0), raw.std(0, unbiased=False)
