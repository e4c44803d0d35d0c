"""The output head for colours: a 256-way softmax a colour against a mixture of discretised logistics, at equal budget.

    python -m benchmarks.colour_heads [--minutes 8]

Both heads have the same decoder (the architecture that `acncodec train` uses for RGB images) and the same inputs from the
previous colours; each is trained for MINUTES on CIFAR-10 training images, one after the other in one run. Figures are exact
code lengths of held-out training images, and the time that the frequencies of a pixel take in decoding. Needs `cifar10/` in
the folder that ACNCODEC_DATA names. Writes colour_heads.json and .md to benchmarks/results/.
"""

import math
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import click
import numpy as np
import torch
from torch import Tensor, nn

from acncodec.coding.frequencies import table
from acncodec.exact.grids import BASE, LOGIT_BITS, LOGIT_MAX, RELU_BITS, RELU_MAX, STREAM_BITS, STREAM_MAX
from acncodec.images.raster import Layout
from acncodec.nets.architecture import Architecture
from acncodec.nets.heads import ColourHead, Softmax
from acncodec.nets.networks import Networks
from acncodec.nets.planes import PLANE_MAX, known_planes, tell_colours
from acncodec.nets.product import Input, Product
from acncodec.training.data import split
from acncodec.training.evaluation import held_out_nats
from acncodec.training.pictures import ARCHITECTURES
from acncodec.training.trainer import Budget, Report, Trainer
from benchmarks.directory_sets import cifar10
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
LANES = 64  # of the timed frequencies
REPEATS = 200
TITLES = {"logistics": "8 logistics a colour", "softmax": "256-way softmax a colour"}


class SoftmaxColours(nn.Module):
    """As `ColourHead`, with a softmax over 256 levels for each colour, given the colours before."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()

        def known(colour: int) -> list[Input]:
            return [Input(known_planes(arch, colour), PLANE_MAX)] if colour else []

        def product(first: Input, colour: int, out: int, bits: tuple[int, int], low: int, high: int) -> Product:
            return Product([first, *known(colour)], out, *bits, low, high)

        stream, features = Input(arch.channels, STREAM_MAX), Input(arch.features, RELU_MAX)
        colours = range(arch.colours)
        self.features = nn.ModuleList(
            product(stream, c, arch.features, (STREAM_BITS, RELU_BITS), 0, RELU_MAX) for c in colours
        )
        self.outputs = nn.ModuleList(
            product(features, c, arch.levels, (RELU_BITS, LOGIT_BITS), -LOGIT_MAX, LOGIT_MAX) for c in colours
        )

    def forward(self, colour: int, h: Tensor, values: Tensor, centres: Tensor) -> Softmax:
        known = [tell_colours(values[..., :colour], centres[..., :colour, :])] if colour else []
        return Softmax(self.outputs[colour](self.features[colour](h, *known), *known))


def measure(kind: str, images: list[np.ndarray], minutes: float) -> dict[str, float]:
    """Train one of TITLES and measure its code length and speed."""
    arch = Architecture(**ARCHITECTURES[Layout.RGB])
    data = split(images)
    with patch("acncodec.nets.pixelcnn.ColourHead", SoftmaxColours if kind == "softmax" else ColourHead):
        trainer = Trainer(arch, data, Budget(minutes))

    def report(r: Report) -> None:
        bits = (r.residual + r.kl) / (math.log(2) * 3 * 32 * 32)
        click.echo(f"{kind} {r.progress:5.0%} {r.images_per_second:5.0f} images/s {bits:.3f} bits/sub-pixel", err=True)

    for _ in trainer.run(report, every=30):
        pass
    exact = trainer.exact_networks()
    residual, kl = held_out_nats(exact, data.held_out)
    head = exact.decoder.head
    return {
        "steps": trainer.step,
        "images_per_second": trainer.step * trainer.batch / trainer.seconds,
        "held_out_bits_per_subpixel": (residual + kl) / (math.log(2) * 3 * 32 * 32),
        "held_out_kl_nats": kl,
        "head_weights": sum(p.weight.numel() for p in head.modules() if isinstance(p, Product)),
        "milliseconds_a_pixel": frequencies_time(exact),
    }


@torch.no_grad()
def frequencies_time(networks: Networks) -> float:
    """Milliseconds for head and frequencies of all colours of a pixel of LANES images, the median."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randint(-200, 200, (LANES, networks.arch.channels), generator=generator).float()
    values = torch.randint(0, 256, (LANES, networks.arch.colours), generator=generator).float()
    first = torch.randint(0, BASE, (LANES,), generator=generator, dtype=torch.int32)
    centres = values.unsqueeze(-1)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for colour in range(networks.arch.colours):
            frequencies = table(networks.decoder.head(colour, h, values, centres))
            frequencies.first()
            frequencies.second(first)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def markdown(result: dict) -> str:
    lines = [
        "# The output head for colours",
        "",
        f"{result['minutes']:g} minutes of training each on {result['images']:,} CIFAR-10 training images.",
        "",
        "| head | steps of 16 | images/s in training | held out, bits/sub-pixel | KL, nats | weights of the head "
        f"| ms a pixel of {LANES} lanes |",
        "|---" * 7 + "|",
    ]
    for kind, row in result["rows"].items():
        lines.append(
            f"| {TITLES[kind]} | {row['steps']:,} | {row['images_per_second']:.0f} "
            f"| {row['held_out_bits_per_subpixel']:.4f} | {row['held_out_kl_nats']:.1f} "
            f"| {row['head_weights']:,} | {row['milliseconds_a_pixel']:.2f} |"
        )
    lines += ["", *(f"- {key}: {value}" for key, value in result["provenance"].items())]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--minutes", default=8.0, show_default=True, help="Training of each head.")
def main(minutes: float) -> None:
    """Train and compare both heads."""
    images = list(cifar10("train")[0])
    rows = {kind: measure(kind, images, minutes) for kind in TITLES}
    result = {"minutes": minutes, "images": split(images).count, "rows": rows, "provenance": provenance()}
    write_result(RESULTS / "colour_heads", result, markdown(result))
    click.echo(markdown(result))


if __name__ == "__main__":
    main()
