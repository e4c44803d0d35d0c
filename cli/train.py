"""acncodec train"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import say, shows_progress, write
from .options import FILE, choose_device, device_option, force_option, json_option, work_options

if TYPE_CHECKING:
    from acncodec.analysis.saving import Saving
    from acncodec.nets.model import Model
    from acncodec.training.trainer import Report


@click.command("train")
@click.argument("directory", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Model file to write, with the suffix .safetensors.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Longest time to train. Training ends sooner when held-out images stop getting smaller.",
)
@click.option(
    "--from",
    "start",
    metavar="auto|none|NAME|FILE",
    default="auto",
    show_default=True,
    help="Model whose weights to start from; 'auto' takes the one that suits the images best, 'none' random weights.",
)
@click.option(
    "--binarise",
    is_flag=True,
    help="Train a model of 1-bit images on 8-bit grey ones. In each batch every pixel is drawn anew: 1 with probability "
    "level / 255.",
)
@click.option("--resume", is_flag=True, help="Continue from the checkpoint beside the output.")
@force_option
@device_option
@json_option
@work_options
def command(
    directory: Path,
    output: Path,
    minutes: float,
    start: str,
    binarise: bool,
    resume: bool,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Train a model on those images in DIRECTORY that have the most frequent layout (1-bit, grey, RGB or RGBA).

    Some of the images are held out to measure the model. Every few minutes a checkpoint is written beside the output, from
    which --resume continues exactly. To train in several processes use PyTorch's launcher: torchrun --no-python
    --nproc-per-node 2 acncodec train ...
    """
    from acncodec import bundled
    from acncodec.analysis.saving import saving
    from acncodec.api import starting_from
    from acncodec.images.source import Folder
    from acncodec.training.session import TrainingRequest, train
    from acncodec.training.trainer import Budget
    from acncodec.training.world import World

    request = TrainingRequest(
        Folder(directory),
        output,
        Budget(minutes),
        resume=resume,
        overwrite=force,
        binarised=binarise,
        device=choose_device(device, training=True),
    )
    done = train(starting_from(request, None if start == "none" else start), _Printer())
    if not World.join(request.device).leads:
        return
    value = saving(done, bundled.candidates([], auto=True))
    say(f"'{output}', {done.model.size:,} bytes, sha256 {done.model.sha256.hex()}")
    say(_words(value))
    if as_json:
        result = {"model": str(output), "bytes": done.model.size, "sha256": done.model.sha256.hex()}
        nats = {"residual_nats": done.residual, "kl_nats": done.kl}
        gain = {
            "images": value.images,
            "bits_per_image": value.bits,
            "other": value.other,
            "other_bits_per_image": value.other_bits,
            "saved_bytes": round(value.saved_bytes),
            "pays_from_images": value.pays_from,
        }
        click.echo(json.dumps({**result, **nats, **gain}))


class _Printer:
    """Prints the progress of a training on stderr."""

    def begin(self, start: "Model | None", batch: int) -> None:
        source = f"the weights of '{start.name}'" if start else "random weights"
        say(f"from {source}, {batch} images a step")

    def report(self, report: "Report") -> None:
        if shows_progress():
            left = report.seconds * (1 / report.progress - 1) / 60 if report.progress else 0.0
            way = report.way and f", {report.way}"
            write(
                f"{report.progress:6.1%}  {left:4.0f} min left  epoch {report.epoch:3}  {report.images_per_second:6.0f} "
                f"images/s{way}  training batches: residual {report.residual:8.2f} + KL {report.kl:6.2f} nats an image"
            )

    def held_out(self, residual: float, kl: float) -> None:
        if shows_progress():
            write(f"        held out, exact, along their tour: residual {residual:.2f} + KL {kl:.2f} nats an image")


def _words(value: "Saving") -> str:
    """A sentence on what the model saves."""
    bits = f"{value.bits:,.1f} bits an image, {value.other} {value.other_bits:,.1f}"
    if value.pays_from is None:
        return f"the model takes {bits}: it saves nothing here"
    saved = f"on {value.images:,} images it saves {value.saved_bytes:,.0f} bytes"
    return f"the model takes {bits}: {saved}, and from {value.pays_from:,} on more than its own {value.model_bytes:,}"
