"""Cost of integer arithmetic: code length of the exact networks against the same weights in plain float32, unrounded.

    python -m benchmarks.rounding_cost CHECKPOINT DIRECTORY [--images 1000]

CHECKPOINT is one that `acncodec train` leaves beside its output while it runs; DIRECTORY holds images of its mode and of
one size, preferably not trained on. Others are ignored.
"""

import copy
import math
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from acncodec.coding.theory import kl_bits, residual_bits
from acncodec.exact.grids import UNIT
from acncodec.images.picture import expand, layout, read_picture
from acncodec.images.scan import read_file, scan
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.planning.neighbours import nearest_others
from acncodec.training.checkpoint import load_checkpoint
from acncodec.training.data import batch_length
from acncodec.training.objective import sample_offsets
from acncodec.training.pictures import ARCHITECTURES
from acncodec.training.trainer import raw_statistics
from benchmarks.patches import replaced


def _clamp_only(acc: Tensor, factor: float | Tensor, low: int, high: int) -> Tensor:
    return (acc * factor).clamp(low, high)


NOTHING_ROUNDED = {  # what to put where, so that networks round neither weights nor activations; clamps stay
    "acncodec.nets.product.requantise": _clamp_only,
    "acncodec.nets.units.requantise": _clamp_only,
    "acncodec.nets.product.straight_through_round": lambda x: x,
    "acncodec.nets.units._Tanh.apply": lambda pre: UNIT * torch.tanh(pre / 32),
}


@torch.no_grad()
def nats(networks: Networks, pixels: Tensor) -> tuple[float, float]:
    """Mean residual and KL to the nearest other image of uint8 [N, H, W, colours], nats; same noise at every call."""
    generator = torch.Generator().manual_seed(0)
    residual, codes = 0.0, []
    for batch in pixels.split(batch_length(pixels)):
        c = networks.encode(batch)
        distributions = networks.distributions(batch, c + sample_offsets(c, generator))
        residual += float(residual_bits(distributions, batch).sum())
        codes.append(c)
    table = torch.cat(codes)
    rounded = table.round().numpy().astype(np.int16)
    parents = nearest_others(rounded, np.arange(len(rounded)), 1)[:, 0]
    kl = float(kl_bits(table, networks.mixture(table[parents])).sum())
    return residual * math.log(2) / len(pixels), kl * math.log(2) / len(pixels)


def read_images(directory: Path, arch: Architecture, limit: int) -> Tensor:
    """Up to `limit` images that the architecture is made for, spread evenly: uint8 [N, H, W, colours].

    Of several sizes that of the first is taken. Raises ClickException if fewer than two are found.
    """
    sizes = arch.levels, arch.colours
    kinds = [kind for kind, values in ARCHITECTURES.items() if (values["levels"], values.get("colours", 1)) == sizes]
    names = scan(directory).files
    found: list[np.ndarray] = []
    for name in names[:: max(1, len(names) // limit)]:
        picture = read_picture(read_file(directory, name))
        picture = picture and (expand(picture) or picture)
        if picture and layout(picture.form) in kinds and (not found or found[0].shape == picture.samples.shape):
            found.append(picture.samples)
    if len(found) < 2:
        raise click.ClickException(f"'{directory}' does not hold two images of one size that the checkpoint is made for.")
    return torch.from_numpy(np.stack(found[:limit]))


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--images", default=1000, show_default=True)
def main(checkpoint: Path, directory: Path, images: int) -> None:
    """Print residual and KL in nats an image for both, and their ratio."""
    tensors, settings = load_checkpoint(checkpoint)
    networks = Networks(Architecture.from_dict(settings["architecture"]))
    with torch.no_grad():
        for key, parameter in networks.named_parameters():
            parameter.copy_(tensors[f"averaged.{key}"])
    networks.choose_scales()
    pixels = read_images(directory, networks.arch, images)
    # The encoder's outputs are standardised over these images in both cases.
    networks.encoder.standardise(*raw_statistics(networks, pixels))
    networks.choose_scales()  # anew: weights that have grown would be clamped at the old scale
    exact = copy.deepcopy(networks).freeze()
    with replaced(NOTHING_ROUNDED):
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
