"""Trainings on a GPU that is at hand for minutes only: prepared data, named tiers, checkpoints in small files.

    python -m benchmarks.gpu_training prepare DATA [--images 400]
    python -m benchmarks.gpu_training train DATA OUT --tier photo --minutes 5 [--device cuda] [--compile] [--resume FOLDER]
    python -m benchmarks.gpu_training export DATA OUT --tier photo

`prepare` writes an array of images for each tier, DATA/TIER.npy (PNG files in a folder DATA/TIER do, too). `train` writes
the whole state of the training to OUT, in files of at most 16 MiB, every CHECKPOINT seconds and at the end, and how it went
to OUT/TIER.json; with --resume it goes on from such a state, within --minutes of both. `export` makes a model file of the
state, on the CPU. `prepare` needs mnist/, cifar10/, imagenet32/ and photos/ in the folder that ACNCODEC_DATA names.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from acncodec.archive.atomic import write_atomically
from acncodec.bundled import SUFFIX, model_file
from acncodec.images.source import Folder
from acncodec.nets.architecture import Architecture
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.compiler import quiet_compiler
from acncodec.training.data import TrainingSet, split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.export import export as export_model
from acncodec.training.pictures import elements, read_pictures
from acncodec.training.trainer import BATCH, Budget, Report, Trainer
from benchmarks import photo_set
from benchmarks.data import mnist
from benchmarks.provenance import provenance

CHECKPOINT = 60  # seconds between checkpoints
LARGEST = 16 << 20  # bytes of a file
HEADERS = 1 << 18  # of these for names, shapes and settings
HELD_OUT = 500  # images on which the end is measured


@dataclass(frozen=True)
class Tier:
    """A network and how it is trained; prediction errors are planes of all networks with logistics."""

    arch: Architecture
    binarised: bool = False


TIERS = {
    "photo": Tier(Architecture(levels=256, colours=3, logistics=10, centres=5, channels=64, blocks=8, features=96)),
    "mnist-1bit": Tier(Architecture(levels=2, channels=48, blocks=8, features=64), binarised=True),
    "mnist-8bit": Tier(Architecture(levels=256, logistics=10, centres=5, channels=48, blocks=8, features=64)),
}


def images_of(data: Path, name: str) -> list[np.ndarray]:
    """Training images of a tier, uint8 [H, W, colours] each."""
    if (data / f"{name}.npy").exists():
        return list(np.load(data / f"{name}.npy"))
    found = max(read_pictures(Folder(data / name)).values(), key=len)
    return [part for samples in found for part in elements(samples)]


def trainer_of(data: Path, name: str, minutes: float, device: str, compiled: bool = False) -> Trainer:
    """A training of a tier at its beginning."""
    tier = TIERS[name]
    images: TrainingSet = split(images_of(data, name), binarised=tier.binarised)
    images.held_out = [group[:HELD_OUT] for group in images.held_out]
    return Trainer(tier.arch, images, Budget(minutes), batch=BATCH, device=torch.device(device), compiled=compiled)


def save(folder: Path, name: str, state: dict[str, Tensor]) -> None:
    """Write a state in as many files as LARGEST asks for; each tells how many there are. Raises ValueError."""
    parts: list[dict[str, Tensor]] = [{}]
    room = LARGEST - HEADERS
    for key, tensor in state.items():
        if tensor.nbytes > LARGEST - HEADERS:
            raise ValueError(f"'{key}' takes {tensor.nbytes} bytes, more than a file may have")
        if tensor.nbytes > room:
            parts.append({})
            room = LARGEST - HEADERS
        parts[-1][key] = tensor
        room -= tensor.nbytes
    for number, part in enumerate(parts):
        save_checkpoint(part_file(folder, name, number), part, {"tier": name, "parts": len(parts), "step": step_of(state)})


def load(folder: Path, name: str) -> dict[str, Tensor]:
    """The state that `save` wrote. Raises InputError, and ValueError for files of different times."""
    state, settings = load_checkpoint(part_file(folder, name, 0))
    for number in range(1, int(str(settings["parts"]))):
        more, others = load_checkpoint(part_file(folder, name, number))
        if others != settings:
            raise ValueError(f"the files of {name} in {folder} are of different times")
        state |= more
    return state


def part_file(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.checkpoint-{number}"


def step_of(state: dict[str, Tensor]) -> int:
    return int(state["counters"][0])


def bits_a_value(nats: float, data: TrainingSet) -> float:
    return nats / (math.log(2) * data.train[0][0].numel())


@click.group()
def main() -> None:
    """Train on a GPU for minutes."""


TIER = click.option("--tier", "name", type=click.Choice([*TIERS]), required=True)
FOLDER = click.Path(path_type=Path)


@main.command()
@click.argument("data", type=FOLDER)
@click.option("--images", type=click.IntRange(min=1), help="Only about so many of each tier, to try it.")
def prepare(data: Path, images: int | None) -> None:
    """Write the tiers' images as arrays."""
    data.mkdir(parents=True, exist_ok=True)
    digits = mnist("train")[:images, ..., None]
    np.save(data / "mnist-1bit.npy", digits)
    np.save(data / "mnist-8bit.npy", digits)
    photographs = np.concatenate([found for _, found in photo_set.images(images or 50_000)])
    np.save(data / "photo.npy", photographs[:: max(1, len(photographs) // (images or len(photographs)))])


@main.command()
@click.argument("data", type=FOLDER)
@click.argument("out", type=FOLDER)
@TIER
@click.option("--minutes", default=5.0, show_default=True)
@click.option("--device", default="cuda", show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Compile the step, which takes a minute or two.")
@click.option("--resume", type=FOLDER, help="Folder with a state to go on from.")
def train(data: Path, out: Path, name: str, minutes: float, device: str, compiled: bool, resume: Path | None) -> None:
    """Train a tier."""
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    trainer = trainer_of(data, name, minutes, device, compiled)
    if resume:
        trainer.load_state(load(resume, name))
    result: dict[str, Any] = {"tier": name, "images": trainer.data.count, "batch": trainer.batch, "curve": []}
    result |= {"minutes": minutes, "compiled": compiled, "provenance": provenance()}

    def report(r: Report) -> None:
        bits = bits_a_value(r.residual + r.kl, trainer.data)
        result["curve"].append(
            [r.step, round(r.seconds, 1), round(r.images_per_second), round(bits, 4), round(r.kl, 2), r.way]
        )
        click.echo(
            f"{name} {r.progress:4.0%} step {r.step} {r.images_per_second:.0f} images/s {r.way} {bits:.4f} bits", err=True
        )

    click.echo(f"{name}: {trainer.data.count} images after {time.monotonic() - began:.0f} s", err=True)
    saved = trainer.seconds
    with quiet_compiler():
        for _ in trainer.run(report):
            if trainer.seconds - saved >= CHECKPOINT:
                saved = trainer.seconds
                save(out, name, trainer.state())
    save(out, name, trainer.state())
    residual, kl = held_out_nats(trainer.exact_networks().to(trainer.device), trainer.data.held_out)
    result |= {"held_out": [residual, kl], "held_out_bits": bits_a_value(residual + kl, trainer.data)}
    if trainer.device.type == "cuda":
        result["gib"] = torch.cuda.max_memory_allocated() / 2**30
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    click.echo(f"{name}: held out {residual:.2f} + {kl:.2f} nats, {result['held_out_bits']:.4f} bits a value", err=True)


@main.command("export")
@click.argument("data", type=FOLDER)
@click.argument("out", type=FOLDER)
@TIER
def make_model(data: Path, out: Path, name: str) -> None:
    """Make a model file of a state, beside it."""
    trainer = trainer_of(data, name, 1.0, "cpu")
    trainer.load_state(load(out, name))
    exact = trainer.exact_networks()
    residual, kl = held_out_nats(exact, trainer.data.held_out)
    record: dict[str, object] = {"binarised": True} if TIERS[name].binarised else {}
    record |= {"held_out_residual_nats": round(residual, 3), "held_out_kl_nats": round(kl, 3)}
    write_atomically(out / f"{name}{SUFFIX}", [model_file(export_model(trainer, exact, name, record))], overwrite=True)
    click.echo(f"{name}: held out {residual:.2f} + {kl:.2f} nats", err=True)


if __name__ == "__main__":
    main()
