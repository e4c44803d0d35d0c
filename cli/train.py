"""acncodec train"""

import json
from pathlib import Path

import click

from .options import FILE, force_option, json_option


@click.command("train")
@click.argument("directory", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Model file to write, *.safetensors.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="Time to train."
)
@click.option("--from", "start", metavar="NAME|FILE", help="Start from this model's weights instead of random ones.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside the output.")
@force_option
@json_option
def command(
    directory: Path, output: Path, minutes: float, start: str | None, resume: bool, force: bool, as_json: bool
) -> None:
    """Train a model on the images in DIRECTORY, of the kind (1-bit, grey, RGB or RGBA) that most of them have.

    A part of the images is held out to tell what the model is worth. A checkpoint is written beside the output every few
    minutes, from which --resume goes on exactly.
    """
    from acncodec import bundled
    from acncodec.errors import InputError
    from acncodec.nets.model import read_model
    from acncodec.training.session import train
    from acncodec.training.trainer import Budget, Report

    if output.suffix != ".safetensors":
        raise InputError(f"the model's file name must end in .safetensors, '{output}' does not")
    last: dict[str, float] = {}

    def report(r: Report) -> None:
        click.echo(
            f"{r.progress:6.1%}  epoch {r.epoch:3}  {r.images_per_second:6.0f} images/s  training batches: "
            f"residual {r.residual:8.2f} + KL {r.kl:6.2f} nats an image",
            err=True,
        )

    def held_out(residual: float, kl: float) -> None:
        last.update(residual_nats=residual, kl_nats=kl)
        click.echo(
            f"        held out, exact, along their tour: residual {residual:.2f} + KL {kl:.2f} nats an image", err=True
        )

    begin = bundled.find(start) if start else None
    train(directory, output, Budget(minutes), start=begin, resume=resume, overwrite=force, report=report, held_out=held_out)
    model = read_model(output)
    click.echo(f"acncodec: '{output}', {model.size:,} bytes, sha256 {model.sha256.hex()}", err=True)
    if as_json:
        click.echo(json.dumps({"model": str(output), "bytes": model.size, "sha256": model.sha256.hex(), **last}))
