"""Algorithm 1 of the ACN paper: neighbours among stored codes, one gradient step a batch, averaged weights."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acncodec.exact.precision import full_precision
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.nets.planes import to_planes
from acncodec.planning.neighbours import nearest_others
from acncodec.training.data import TrainingSet, batch_length
from acncodec.training.histories import draw_offers
from acncodec.training.objective import Objective, prior_nats, sample_offsets
from acncodec.training.world import World

BATCH = 64
COLOUR_BATCH = 16  # of photographs: more steps help more than larger batches
NEIGHBOURS = 5  # K of the paper
LEARNING_RATE = 4e-3  # falls linearly to zero over the budget
START_RATE = 1e-3  # when starting from a model, which a high rate would spoil at first
AVERAGING = 0.999  # decay of the averaged weights
PRIOR_BATCH = 256  # codes in the prior network's extra step after each step
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
        `start`, and with it codes and their prior. Images stay in host memory; `device` holds the codes and receives each
        batch. A `compiled` step is faster, but takes a minute to compile.
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
        trained = [parameter for parameter in self.nets.parameters() if parameter.requires_grad]
        self.rate = START_RATE if start else LEARNING_RATE
        self.optimiser = torch.optim.Adam(trained, self.rate, betas=(0.9, 0.99), fused=True)
        objective = world.module(Objective(self.nets, world.total))
        self._objective: nn.Module = _compile(objective, device) if compiled else objective
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.epoch, self.seconds = 0, 0, 0.0
        self.end_began: tuple[float, float] | None = None  # budget used and progress when early stopping began
        self.position = 0  # of the next batch within its epoch
        self.shuffle = self.generator.get_state()  # state to draw the epoch's batches from again on resuming
        self.codes = [encode_all(self._kept or self.nets, group).to(device) for group in data.train]

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
        sums, count = torch.zeros(2, device=self.device), 0
        start = last = self.world.agree(time.monotonic())
        while (progress := self.progress(self.seconds, self.step)) < 1:
            self.shuffle = self.generator.get_state() if self.position == 0 else self.shuffle
            shuffler = torch.Generator()
            shuffler.set_state(self.shuffle)
            batches = self.data.batches(self.batch, shuffler)
            if self.position == 0:
                self.generator.set_state(shuffler.get_state())
            offers = self._offers_of_epoch()
            for group, indices in batches[self.position :]:
                sums += self._step(group, indices, progress, offers[group] if offers else None)
                count += len(indices)
                self.position += 1
                now = self.world.agree(time.monotonic())
                progress = self.progress(self.seconds + now - start, self.step)
                if now - last >= every or progress >= 1:
                    self.seconds += now - start
                    residual, kl = (self.world.total(sums) / count).tolist()
                    rate = count / (now - last)
                    report(Report(self.step, self.epoch, self.seconds, rate, residual, kl, progress))
                    sums, count = torch.zeros(2, device=self.device), 0
                    yield
                    start = last = self.world.agree(time.monotonic())  # time spent in the caller does not count
                if progress >= 1:
                    return
            self.epoch, self.position = self.epoch + 1, 0

    def _offers_of_epoch(self) -> list[Tensor]:
        """The epoch's copy candidates, a tensor for each group, on the host; none for models without them."""
        if not self.nets.arch.candidates:
            return []
        generator = torch.Generator().manual_seed(self.epoch)
        return [draw_offers(group, generator) for group in self.data.train]

    def _step(self, group: int, indices: Tensor, progress: float, offers: Tensor | None) -> Tensor:
        """One gradient step; returns the sums of residual and KL over this process's share of the batch, nats."""
        if self.step % RESCALE_EVERY == 0:
            self.nets.limit_weights()
            self.nets.choose_scales()
        for options in self.optimiser.param_groups:
            options["lr"] = self.rate * (1 - progress)
        codes, world = self.codes[group], self.world
        # Drawn for the whole batch, independent of how it is shared.
        picks = torch.rand(len(indices), generator=self.generator)
        offsets = self._offsets(len(indices))
        mine = world.share(indices)
        parents = neighbours(codes, mine.to(self.device), world.share(picks).to(self.device))
        kept = codes[mine.to(self.device)].float() if self._kept else None
        pixels = world.share(self.data.images(group, indices, self.generator)).to(self.device)
        told = None if offers is None else offers[mine].to(self.device)
        residual, kl, new_codes = self._objective(pixels, parents, world.share(offsets), kept, told)
        self.optimiser.zero_grad()
        # Gradients are averaged over processes, the objective over images.
        ((residual + kl).sum() * world.size / len(indices)).backward()
        self.optimiser.step()
        codes[indices.to(self.device)] = world.gather(new_codes.to(codes.dtype), len(indices))
        if not self._kept:
            self._step_of_prior(codes)
        self.step += 1
        self._average()
        return torch.stack([residual.detach().sum(), kl.detach().sum()])

    def _step_of_prior(self, codes: Tensor) -> None:
        """One gradient step of the prior network, on stored codes [N, code]; the same in all processes.

        It learns more slowly than the others, codes cost more while it lags, and its steps cost next to nothing.
        """
        chosen = torch.randint(len(codes), (min(PRIOR_BATCH, len(codes)),), generator=self.generator).to(self.device)
        picks = torch.rand(len(chosen), generator=self.generator).to(self.device)
        parents = neighbours(codes, chosen, picks)
        z = codes[chosen].float() + self._offsets(len(chosen))
        self.optimiser.zero_grad()
        prior_nats(self.nets.prior, z, parents).mean().backward()
        self.optimiser.step()

    def _offsets(self, count: int) -> Tensor:
        """Posterior samples minus codes [count, code], from the trainer's generator, on the host."""
        return sample_offsets(torch.empty(count, self.nets.arch.code), self.generator).to(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(AVERAGING, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(self.averaged.parameters(), self.nets.parameters(), strict=True):
            averaged.lerp_(current, 1 - decay)

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
        """Continue from `state()`'s tensors; data and architecture must be the same. Raises KeyError if one is missing."""
        for prefix, nets in (("nets", self.nets), ("averaged", self.averaged)):
            for key, parameter in nets.named_parameters():
                parameter.copy_(tensors[f"{prefix}.{key}"])
        slots = ("step", "exp_avg", "exp_avg_sq")
        parameters = self.optimiser.param_groups[0]["params"]
        states = {i: {k: tensors[f"optimiser.{i}.{k}"] for k in slots} for i in range(len(parameters))}
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        for g, codes in enumerate(self.codes):
            codes.copy_(tensors[f"codes.{g}"])
        for name, product in self.nets.products():
            product.scale.copy_(tensors[f"scales.{name}"])
        self.generator.set_state(tensors["generator"])
        self.shuffle = tensors["shuffle"]
        step, epoch, position, self.seconds = tensors["counters"].tolist()
        self.end_began = tuple(tensors["end_began"].tolist()) or None
        self.step, self.epoch, self.position = int(step), int(epoch), int(position)


def neighbours(codes: Tensor, indices: Tensor, picks: Tensor) -> Tensor:
    """For each item the stored code of one of its K nearest neighbours, never its own entry: float32 [B, code].

    `codes` int8 [N, code] are all items'; `picks` [B] in [0, 1) select the neighbour, from near to far. All on one device.
    """
    others = _nearest_others(codes, indices, NEIGHBOURS)
    pick = (picks[:, None] * others.shape[1]).long()
    return codes[others.gather(1, pick).squeeze(1)].float()


def _nearest_others(codes: Tensor, indices: Tensor, k: int) -> Tensor:
    """As `nearest_others`; on a GPU by all distances at once, which is faster than faiss on the host."""
    if codes.device.type == "cpu":
        return torch.from_numpy(nearest_others(codes.numpy(), indices.numpy(), k))
    known = codes.float()
    own = known[indices]
    with full_precision():
        distances = known.square().sum(1) - 2 * own @ known.t()  # up to a constant per row
    distances.scatter_(1, indices[:, None], torch.inf)
    return distances.topk(min(k, len(codes) - 1), largest=False).indices


def _compile(objective: nn.Module, device: torch.device) -> nn.Module:
    """The compiled objective; on a GPU as CUDA graphs too, since launching its kernels takes longer than running them."""
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(objective, mode=mode)  # type: ignore[return-value]


@torch.no_grad()
def take_weights(nets: Networks, exact: Networks) -> None:
    """Set trainable networks to the weights of exact ones of the same architecture."""
    for (_, product), (_, known) in zip(nets.products(), exact.products(), strict=True):
        product.weight.copy_(known.weight / known.scale)
        product.bias.copy_(known.bias / (known.scale * 2.0**known.in_bits))


@torch.no_grad()
def encode_all(nets: Networks, pixels: Tensor) -> Tensor:
    """Codes of images uint8 [N, H, W, colours]: int8 [N, code]; with trainable networks standardised per batch."""

    def encode(part: Tensor) -> Tensor:
        part = part.to(nets.device)
        return nets.encode(part) if nets.exact else nets.encoder.forward_standardised(to_planes(part, nets.arch))[0]

    return torch.cat([encode(part) for part in pixels.split(batch_length(pixels))]).to("cpu", torch.int8)


@torch.no_grad()
def raw_statistics(nets: Networks, pixels: Tensor, limit: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean and deviation [code] of the encoder's outputs before standardisation."""
    parts = pixels[:limit].split(batch_length(pixels))
    raw = torch.cat([nets.encoder.forward_standardised(to_planes(part, nets.arch))[1] for part in parts])
    return raw.mean(0), raw.std(0, unbiased=False)
