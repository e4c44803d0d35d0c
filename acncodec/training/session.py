"""One training from a directory to a model file, with checkpoints and exact resume."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from acncodec.archive.atomic import write_atomically
from acncodec.errors import InputError, OutputError
from acncodec.images.picture import Layout, expand, layout, read_picture
from acncodec.images.scan import read_file, scan
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.data import TrainingSet, split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.export import export
from acncodec.training.trainer import Budget, Report, Trainer

CHECKPOINT_SECONDS = 180
COLOURS = {"colours": 3, "logistics": 8, "channels": 32, "features": 48}
KINDS = {  # what a model of pictures of this layout is like
    Layout.BILEVEL: {"levels": 2, "channels": 16, "features": 32},
    Layout.GREY: {"levels": 256, "channels": 24, "features": 64},
    Layout.RGB: {"levels": 256, **COLOURS},
    Layout.RGBA: {"levels": 256, **COLOURS, "colours": 4},
}


def read_training_set(root: Path) -> tuple[Architecture, TrainingSet]:
    """The pictures of a directory that networks can model, of the layout that most have, palettes expanded.

    Raises InputError.
    """
    found: dict[Layout, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for name in scan(root).files:
        picture = read_picture(read_file(root, name))
        if picture is not None:
            picture = expand(picture) or picture
            found.get(layout(picture.form), []).append(picture.samples)
    kind = max(found, key=lambda k: len(found[k]))
    return Architecture(**KINDS[kind]), split(found[kind])


def train(
    root: Path,
    output: Path,
    budget: Budget,
    *,
    start: Model | None = None,
    resume: bool,
    overwrite: bool,
    report: Callable[[Report], None],
    held_out: Callable[[float, float], None],
) -> Path:
    """Train on the images below `root` and write the model file `output`; the checkpoint lies beside it.

    `start` is a model to start from, of the kind that most of the images are of.
    `report` is called every few seconds with means over training batches; `held_out` with each checkpoint and at the end,
    with the exact networks' residual and KL in nats an image. Raises InputError, OutputError, BoundError.
    """
    if output.exists() and not overwrite:
        raise OutputError(f"'{output}' exists already; give -f to overwrite it")
    checkpoint = output.with_suffix(".checkpoint")
    if checkpoint.exists() and not resume:
        raise OutputError(f"'{checkpoint}' is an unfinished training; give --resume to go on, or remove it")
    arch, data = read_training_set(root)
    if start is not None:
        if (start.arch.levels, start.arch.colours) != (arch.levels, arch.colours):
            raise InputError(f"the model '{start.name}' is for other images than most of '{root}' are")
        arch = start.arch
    trainer = Trainer(arch, data, budget, start=start.networks if start else None)
    settings = {"architecture": trainer.nets.arch.to_dict(), "images": data.count}
    if resume:
        tensors, stored = load_checkpoint(checkpoint)
        if stored != settings:
            raise InputError(f"'{checkpoint}' was made with other images or another architecture; start anew")
        trainer.load_state(tensors)
    saved = time.monotonic()
    for _ in trainer.run(report):
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save_checkpoint(checkpoint, trainer.state(), settings)
            held_out(*held_out_nats(trainer.exact_networks(), data.held_out))
            saved = time.monotonic()
    save_checkpoint(checkpoint, trainer.state(), settings)
    residual, kl = held_out_nats(trainer.exact_networks(), data.held_out)
    held_out(residual, kl)
    record: dict[str, object] = {"from": start.sha256.hex()} if start else {}
    record |= {"held_out_residual_nats": round(residual, 3), "held_out_kl_nats": round(kl, 3)}
    write_atomically(output, [export(trainer, output.stem, record)], overwrite=True)
    checkpoint.unlink()
    return output
