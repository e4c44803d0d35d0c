"""A training run from images to a model file, with checkpoints and exact resume."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from acncodec.archive.atomic import refuse_occupied, write_atomically
from acncodec.bundled import SUFFIX, model_file
from acncodec.errors import InputError, OutputError
from acncodec.images.raster import Layout
from acncodec.images.source import Source
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model, parse_model
from acncodec.training.best import Best
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.compiler import quiet_compiler, worth_compiling
from acncodec.training.data import TrainingSet, split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.export import export
from acncodec.training.pictures import ARCHITECTURES, elements, read_pictures
from acncodec.training.start import choose_batch, nearest
from acncodec.training.trainer import CPU, Budget, Report, Trainer
from acncodec.training.world import World

CHECKPOINT_SECONDS = 180
LOOKS = 12  # evaluations on held-out images within a budget of minutes


def read_training_set(source: Source, binarised: bool = False) -> tuple[Architecture, TrainingSet]:
    """A source's pictures of the most frequent layout, large ones in tiles, and the architecture of a model for them.

    Grey pictures may be `binarised`, for a model of 1-bit images. Raises InputError.
    """
    found = read_pictures(source)
    wanted = max(found, key=lambda each: len(found[each]))
    if binarised and wanted != Layout.GREY:
        raise InputError("only 8-bit grey images can be binarised, and most images here are not of that kind")
    data = split([part for samples in found[wanted] for part in elements(samples)], binarised=binarised)
    return Architecture(**ARCHITECTURES[Layout.BILEVEL if binarised else wanted]), data


@dataclass(frozen=True)
class TrainingRequest:
    """A training request: on the images of `source`, to the model file `output`, within `budget`.

    `start` is a model to start from; by default the best of `models` for these images, or random weights if none is for
    their value range and colours. Grey images may be `binarised` anew in every batch, for a model of 1-bit images. Raises
    InputError for a budget of no time or an output whose name is no model file's.
    """

    source: Source
    output: Path
    budget: Budget
    start: Model | None = None
    models: Sequence[Model] = ()
    resume: bool = False
    overwrite: bool = False
    binarised: bool = False
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if self.budget.minutes is not None and self.budget.minutes <= 0:
            raise InputError("a training must take more than 0 minutes")
        if self.output.suffix != SUFFIX:
            raise InputError(f"the model's file name must end in {SUFFIX}, '{self.output}' does not")

    @property
    def checkpoint(self) -> Path:
        return self.output.with_suffix(".checkpoint")

    def check(self) -> None:
        """Raises OutputError if the output, or a checkpoint that is not to be resumed, exists."""
        refuse_occupied(self.output, self.overwrite)
        if self.checkpoint.exists() and not self.resume:
            raise OutputError(f"'{self.checkpoint}' is an unfinished training; give --resume to go on, or remove it")


@dataclass(frozen=True)
class Trained:
    """The result: the model, its held-out residual and KL in nats an image, and the images."""

    model: Model
    residual: float
    kl: float
    data: TrainingSet


class Watcher(Protocol):
    """Callbacks of a training run."""

    def begin(self, start: Model | None, batch: int) -> None:
        """Before the first step: the model it starts from, None for random weights, and the batch size in images."""

    def report(self, report: Report) -> None:
        """Every few seconds: means over training batches."""

    def held_out(self, residual: float, kl: float) -> None:
        """After every held-out evaluation: exact networks' code lengths, nats an image."""


def train(request: TrainingRequest, watcher: Watcher) -> Trained:
    """Train and write the model file; a checkpoint is kept beside it until then.

    Training ends when the budget is spent, or earlier: after several evaluations in a row without a gain on held-out images
    the learning rate soon falls to zero. The best weights evaluated are kept. Under `torchrun` every process calls this,
    and the first reports and writes. Raises InputError, OutputError, BoundError.
    """
    world = World.join(request.device)
    request.check()
    arch, data = read_training_set(request.source, request.binarised)
    start = request.start or nearest(list(request.models), arch, data)
    if start is not None:
        if (start.arch.levels, start.arch.colours) != (arch.levels, arch.colours):
            raise InputError(f"the model '{start.name}' is for images of another kind than most here are")
        arch = start.arch
    stored: dict[str, Any] = {}
    if request.resume:
        tensors, stored = load_checkpoint(request.checkpoint)
    networks = start.networks if start else None
    minutes = request.budget.minutes
    batch = stored.get("batch") or (choose_batch(arch, data, minutes, networks, world, request.device) if minutes else None)
    compiled = worth_compiling(data, minutes, request.device)
    trainer = Trainer(
        arch, data, request.budget, start=networks, batch=batch, world=world, device=request.device, compiled=compiled
    )
    best = Best(trainer.averaged)
    source = start.sha256.hex() if start else None
    settings = {"architecture": arch.to_dict(), "images": data.count, "batch": trainer.batch, "from": source}
    settings["binarised"] = request.binarised
    if request.resume:
        if stored != settings:
            raise InputError(
                f"'{request.checkpoint}' was made with other images or another base model; start a new training"
            )
        try:
            trainer.load_state(tensors)
            best.load_state(tensors)
        except KeyError as error:
            raise InputError(f"'{request.checkpoint}' was made by another version; start a new training") from error
    if world.leads:
        watcher.begin(start, trainer.batch)
    with quiet_compiler() if compiled else nullcontext():  # the first step compiles
        _run(trainer, best, request, settings, watcher)
    exact = trainer.exact_networks(best.networks)
    residual, kl = held_out_nats(exact.to(request.device), data.held_out)
    exact.to(CPU)
    record: dict[str, object] = {"from": source} if source else {}
    record |= {"binarised": True} if request.binarised else {}
    record |= {"held_out_residual_nats": round(residual, 3), "held_out_kl_nats": round(kl, 3)}
    plain = export(trainer, exact, request.output.stem, record)
    file = model_file(plain)
    if world.leads:
        write_atomically(request.output, [file], overwrite=True)
        request.checkpoint.unlink()
    return Trained(replace(parse_model(plain), size=len(file)), residual, kl, data)


def _run(trainer: Trainer, best: Best, request: TrainingRequest, settings: dict[str, object], watcher: Watcher) -> None:
    """Train, with held-out evaluations and checkpoints from time to time and at the end."""
    world = trainer.world

    def look() -> bool:
        residual, kl = held_out_nats(trainer.exact_networks().to(trainer.device), trainer.data.held_out)
        if world.leads:
            watcher.held_out(residual, kl)
        return best.offer(trainer.averaged, residual + kl)

    def save() -> None:
        if world.leads:
            save_checkpoint(request.checkpoint, trainer.state() | best.state(), settings)

    every = 60 * (request.budget.minutes or 1) / LOOKS
    looked = saved = trainer.seconds
    for _ in trainer.run(watcher.report if world.leads else lambda report: None):
        if trainer.seconds - looked >= every:
            looked = trainer.seconds
            if not look():
                trainer.cool()
        if trainer.seconds - saved >= CHECKPOINT_SECONDS:
            saved = trainer.seconds
            save()
    look()
    save()
