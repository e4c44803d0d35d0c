"""Steps of Algorithm 1 on one device, which holds images, codes and networks: parents, gradients, averaged weights.

A step takes what differs from one to the next from buffers at fixed addresses, and no number of it passes through Python.
So on CUDA it is recorded as a graph, once for each size of images, and replayed (`nets/graphs.py`); elsewhere it is called.
"""

from functools import partial

import torch
from torch import Tensor, nn

from acncodec.exact.precision import TF32_MAX, full_precision, tf32_is_exact, training_precision
from acncodec.nets.graphs import Gradual, Step, recorder
from acncodec.nets.networks import Networks
from acncodec.nets.product import WEIGHT_MAX
from acncodec.planning.neighbours import nearest_others
from acncodec.training.compiler import compiled_unit
from acncodec.training.data import TrainingSet, binarise
from acncodec.training.draws import DrawBuffers, Draws, Sample, draw_prior_sample, draw_sample
from acncodec.training.objective import Objective, prior_nats
from acncodec.training.world import World

NEIGHBOURS = 5  # K of the paper
MOST_RECORDED = 4  # sizes of images whose steps are recorded, the most frequent ones: each keeps memory of its own


class Stepper:
    """The steps of a training, and what they change: weights, their averages, codes, and the sums of costs."""

    def __init__(
        self,
        nets: Networks,
        averaged: Networks,
        data: TrainingSet,
        codes: list[Tensor],
        rate: float,
        world: World,
        *,
        decoder_alone: bool,
        compiled: bool,
    ) -> None:
        """Networks and codes, int8 [N, code] for each group of images, are on one device; images are copied there.

        With `decoder_alone` codes stay as they are, and the prior has no steps of its own.
        """
        self.nets, self.averaged, self.codes, self.world = nets, averaged, codes, world
        self.device, self._decoder_alone = nets.device, decoder_alone
        self._images = [group.to(self.device) for group in data.greys or data.train]
        self._binarised = data.greys is not None
        self._offers: list[Tensor] = []
        on_cuda = self.device.type == "cuda"
        # As a tensor, which a recorded step reads anew. On the CPU Adam takes its value as a double, on CUDA as a float.
        self.rate = torch.tensor(rate, dtype=torch.float32 if on_cuda else torch.float64, device=self.device)
        trained = [parameter for parameter in nets.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, self.rate, betas=(0.9, 0.99), fused=True, capturable=on_cuda)
        objective = world.module(Objective(nets, world.total))
        self._objective: nn.Module = compiled_unit(objective) if compiled else objective
        self._tf32 = fits_tf32(nets) and tf32_is_exact(self.device)
        self.sums = torch.zeros(2, device=self.device)  # residual and KL of this process's images, nats
        self._recorder = recorder(self.device, graphs=world.size == 1)
        self._rescale = self._recorder.gradually(self._choose_scales)
        self._steps: dict[int, tuple[DrawBuffers, Step]] = {}  # by group

    @property
    def way(self) -> str:
        """How steps run on CUDA: "recorded" if the last ones for each size of images were, else "called"; "" on the CPU."""
        if self.device.type != "cuda":
            return ""
        recorded = (isinstance(step, Gradual) and step.recorded for _, step in self._steps.values())
        return "recorded" if all(recorded) else "called"

    def draw(self, group: int, indices: Tensor, generator: torch.Generator, rate: float, weight: float) -> Draws:
        """The draws for a step on the images at `indices`, int64 [B] on the host, of a group."""
        images, codes = self._images[group], self.codes[group]
        batch = draw_sample(indices, codes.shape[1], generator)
        ink = torch.rand((len(indices), *images.shape[1:]), generator=generator) if self._binarised else None
        prior = None if self._decoder_alone else draw_prior_sample(codes, generator)
        return Draws(batch, ink, prior, torch.tensor(rate, dtype=self.rate.dtype), torch.tensor(weight))

    def run(self, group: int, draws: Draws, rescale: bool) -> None:
        """Make one step, on CUDA without waiting for it; with `rescale` the weights' scales are chosen anew before it.

        Raises BoundError if weights are not finite by then.
        """
        self.wait()
        if group not in self._steps:
            self._steps[group] = self._make(group, DrawBuffers(draws, self.device))
        buffers, step = self._steps[group]
        buffers.put(draws)
        self._recorder.follow()
        if rescale:
            self._rescale()
            self.wait()
            self.nets.check_scales()
        step()

    def wait(self) -> None:
        """Block until the last step is done: before anything else reads or changes its tensors."""
        self._recorder.wait()

    def set_offers(self, offers: list[Tensor]) -> None:
        """Copy candidates uint8 [N, H, W, OFFERS, colours + 1] for each group, on the host, until the next ones."""
        self.wait()
        if self._offers:
            for known, new in zip(self._offers, offers, strict=True):
                known.copy_(new)
        else:
            self._offers = [each.to(self.device) for each in offers]

    def _make(self, group: int, buffers: DrawBuffers) -> tuple[DrawBuffers, Step]:
        step = partial(self._step, group, buffers)
        by = self._recorder
        return buffers, by.gradually(step) if group < MOST_RECORDED else by.direct(step)

    def _choose_scales(self) -> None:
        self.nets.limit_weights()
        self.nets.choose_scales()

    def _step(self, group: int, buffers: DrawBuffers) -> None:
        draws = buffers.upload()
        indices, codes, world = draws.batch.indices, self.codes[group], self.world
        self.rate.copy_(draws.rate)
        mine, picks, offsets = (world.share(each) for each in draws.batch)
        parents = neighbours(codes, mine, picks)
        kept = codes[mine].float() if self._decoder_alone else None
        pixels = self._images[group][mine]
        if draws.ink is not None:
            pixels = binarise(pixels, world.share(draws.ink))
        offers = self._offers[group][mine] if self._offers else None
        with training_precision(self.device, self._tf32):
            residual, kl, new_codes = self._objective(pixels, parents, offsets, kept, offers)
            self.optimiser.zero_grad()
            # Gradients are averaged over processes, the objective over images.
            ((residual + kl).sum() * world.size / len(indices)).backward()
        self.optimiser.step()
        codes.index_copy_(0, indices, world.gather(new_codes.to(codes.dtype), len(indices)))
        if draws.prior is not None:
            self._step_of_prior(codes, draws.prior)
        self._average(draws.weight)
        self.sums += torch.stack([residual.detach().sum(), kl.detach().sum()])

    def _step_of_prior(self, codes: Tensor, sample: Sample) -> None:
        """One gradient step of the prior network, on stored codes [N, code]; the same in all processes.

        It learns more slowly than the others, codes cost more while it lags, and its steps cost next to nothing.
        """
        parents = neighbours(codes, sample.indices, sample.picks)
        z = codes[sample.indices].float() + sample.offsets
        self.optimiser.zero_grad()
        with training_precision(self.device, self._tf32):
            prior_nats(self.nets.prior, z, parents).mean().backward()
        self.optimiser.step()

    @torch.no_grad()
    def _average(self, weight: Tensor) -> None:
        for averaged, current in zip(self.averaged.parameters(), self.nets.parameters(), strict=True):
            averaged.lerp_(current, weight)


def neighbours(codes: Tensor, indices: Tensor, picks: Tensor) -> Tensor:
    """For each item the stored code of one of its K nearest neighbours, never its own entry: float32 [B, code].

    `codes` int8 [N, code] are all items'; `picks` [B] in [0, 1) select the neighbour, from near to far. All on one device.
    """
    search = _nearest_by_faiss if codes.device.type == "cpu" else _nearest_by_distances
    others = search(codes, indices, NEIGHBOURS)
    pick = (picks[:, None] * others.shape[1]).long()
    return codes[others.gather(1, pick).squeeze(1)].float()


def _nearest_by_faiss(codes: Tensor, indices: Tensor, k: int) -> Tensor:
    return torch.from_numpy(nearest_others(codes.numpy(), indices.numpy(), k))


def _nearest_by_distances(codes: Tensor, indices: Tensor, k: int) -> Tensor:
    """As `nearest_others` but for ties: all distances at once, which on a GPU is faster than faiss on the host."""
    known = codes.float()
    own = known[indices]
    with full_precision():
        distances = known.square().sum(1) - 2 * own @ known.t()  # up to a constant per row
    distances.scatter_(1, indices[:, None], torch.inf)
    return distances.topk(min(k, len(codes) - 1), largest=False).indices


def fits_tf32(nets: Networks) -> bool:
    """Whether TF32 holds every integer that products of these networks multiply."""
    largest = max(part.bound for _, product in nets.products() for part in product.inputs)
    return max(largest, WEIGHT_MAX) <= TF32_MAX
