"""What integers cost: code length of the exact networks against the same weights in plain float32, nothing rounded.

    python -m benchmarks.rounding_cost CHECKPOINT DIRECTORY [--images 1000]

CHECKPOINT is one that `acncodec train` leaves beside its output while it runs; DIRECTORY holds images of its mode, best
ones that it was not trained on.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import torch
from torch import Tensor

from acncodec.coding.theory import kl_bits, residual_bits
from acncodec.exact.grids import CODE_MAX, LATENT_BITS, UNIT
from acncodec.images.element import read_element
from acncodec.images.scan import read_file, scan
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.planning.neighbours import nearest
from acncodec.training.checkpoint import load_checkpoint
from acncodec.training.trainer import raw_statistics


@contextmanager
def plain_float() -> Iterator[None]:
    """Within it trainable networks round neither weights nor activations; clamps stay."""

    def clamp_only(acc: Tensor, shift: int, low: int, high: int) -> Tensor:
        return (acc * 2.0**-shift).clamp(low, high)

    with ExitStack() as stack:
        for place in ("acncodec.nets.product.requantise", "acncodec.nets.units.requantise"):
            stack.enter_context(patch(place, clamp_only))
        stack.enter_context(patch("acncodec.nets.product.straight_through_round", lambda x: x))
        stack.enter_context(patch("acncodec.nets.units._Tanh.apply", lambda pre: UNIT * torch.tanh(pre / 32)))
        yield


@torch.no_grad()
def nats(networks: Networks, pixels: Tensor) -> tuple[float, float]:
    """Mean residual and KL to the nearest other image of `pixels` uint8 [N, H, W], nats; same noise at every call."""
    generator = torch.Generator().manual_seed(0)
    residual, codes = 0.0, []
    for batch in pixels.split(64):
        c = networks.encode(batch).clamp(-CODE_MAX, CODE_MAX)
        noise = torch.round(torch.randn(c.shape, generator=generator) * (1 << LATENT_BITS))
        residual += float(residual_bits(networks.logits(batch, c + noise), batch).sum())
        codes.append(c)
    table = torch.cat(codes)
    rounded = table.round().numpy().astype(np.int16)
    found = nearest(rounded, rounded, 2)[1]
    parents = np.where(found[:, 0] == np.arange(len(found)), found[:, 1], found[:, 0])
    kl = float(kl_bits(table, networks.mixture(table[parents])).sum())
    return residual * math.log(2) / len(pixels), kl * math.log(2) / len(pixels)


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--images", default=1000, show_default=True)
def main(checkpoint: Path, directory: Path, images: int) -> None:
    """Print residual and KL in nats an image for both, and their ratio."""
    tensors, settings = load_checkpoint(checkpoint)
    networks = Networks(Architecture.from_dict(settings["architecture"]))  # type: ignore[arg-type]
    with torch.no_grad():
        for key, parameter in networks.named_parameters():
            parameter.copy_(tensors[f"averaged.{key}"])
    networks.choose_scales()
    names = scan(directory).files
    elements = [read_element(read_file(directory, name)) for name in names[:: max(1, len(names) // images)]]
    mode = "1" if networks.arch.levels == 2 else "L"
    pixels = torch.from_numpy(np.stack([e.pixels for e in elements if e and e.mode == mode][:images]))
    # The encoder's outputs are standardised over these images in both cases.
    networks.encoder.standardise(*raw_statistics(networks, pixels))
    exact = copy.deepcopy(networks).freeze()
    with plain_float():
        float_residual, float_kl = nats(networks, pixels)
    exact_residual, exact_kl = nats(exact, pixels)
    click.echo(
        f"float32   residual {float_residual:.3f} + KL {float_kl:.3f} = {float_residual + float_kl:.3f} nats an image"
    )
    click.echo(
        f"integers  residual {exact_residual:.3f} + KL {exact_kl:.3f} = {exact_residual + exact_kl:.3f} nats an image"
    )
    click.echo(f"integers cost {(exact_residual + exact_kl) / (float_residual + float_kl) - 1:+.3%}")


if __name__ == "__main__":
    main()
