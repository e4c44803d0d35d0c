"""acncodec train"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import say, shows_progress, write
from .options import FILE, choose_device, device_option, force_option, json_option, work_options

if TYPE_CHECKING:
    from acncodec.analysis.worth import Worth
    from acncodec.nets.model import Model
    from acncodec.training.trainer import Report


@click.command("train")
@click.argument("directory", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Model file to write, *.safetensors.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Time to train, at most: it ends sooner if held-out images no longer get smaller.",
)
@click.option(
    "--from",
    "start",
    metavar="auto|none|NAME|FILE",
    default="auto",
    show_default=True,
    help="Start from this model's weights; 'auto' takes those that suit the images best, 'none' random ones.",
)
@click.option(
    "--binarise",
    is_flag=True,
    help="Train for 1-bit images on 8-bit grey ones: a pixel is 1 with probability level / 255, drawn anew in every batch.",
)
@click.option("--resume", is_flag=True, help="Resume from the checkpoint beside the output.")
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
    """Train a model on the images in DIRECTORY, those of the most frequent layout (1-bit, grey, RGB or RGBA).

    A part of the images is held out to measure the model. A checkpoint is written beside the output every few
    minutes, from which --resume continues exactly. Several processes train together under PyTorch's launcher: torchrun
    --no-python --nproc-per-node 2 acncodec train ...
    """
    from acncodec import bundled
    from acncodec.analysis.worth import worth
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
        device=choose_device(device),
    )
    done = train(starting_from(request, None if start == "none" else start), _Printer())
    if not World.join(request.device).leads:
        return
    value = worth(done.model, bundled.candidates([], auto=True), done.data)
    say(f"'{output}', {done.model.size:,} bytes, sha256 {done.model.sha256.hex()}")
    say(_words(value))
    if as_json:
        result = {"model": str(output), "bytes": done.model.size, "sha256": done.model.sha256.hex()}
        nats = {"residual_nats": done.residual, "kl_nats": done.kl}
        saving = {
            "images": value.images,
            "bits_per_image": value.bits,
            "other": value.other,
            "other_bits_per_image": value.other_bits,
            "saved_bytes": round(value.saved_bytes),
            "pays_from_images": value.pays_from,
        }
        click.echo(json.dumps({**result, **nats, **saving}))


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


def _words(value: "Worth") -> str:
    """A sentence on what the model saves."""
    bits = f"{value.bits:,.1f} bits an image, {value.other} {value.other_bits:,.1f}"
    if value.pays_from is None:
        return f"the model takes {bits}: it saves nothing here"
    saved = f"it saves {value.saved_bytes:,.0f} bytes of {value.images:,} images"
    return f"the model takes {bits}: {saved}, and pays for its own {value.model_bytes:,} from {value.pays_from:,} images on"
