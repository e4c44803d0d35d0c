"""A model enlarged without changing what it computes, as a start for a longer training.

    python -m benchmarks.grow MODEL OUTPUT [--errors] [--blocks N]

`--errors` adds the plane of prediction errors to a grey model under a softmax, `--blocks` gated blocks at the end of the
decoder. New weights are zero, but those that read the horizontal stream of a new block, which have to differ to be trained;
zeros behind them keep its output zero. OUTPUT is a model file for `acncodec train --from OUTPUT`.
"""

from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from acncodec import bundled
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model, dump_model
from acncodec.nets.networks import Networks
from acncodec.nets.planes import plane_count
from acncodec.nets.product import Product


@click.command()
@click.argument("model")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--errors", is_flag=True, help="Add a plane of prediction errors.")
@click.option("--blocks", type=click.IntRange(min=1), help="Number of blocks, by default as many as there are.")
def main(model: str, output: Path, errors: bool, blocks: int | None) -> None:
    """Enlarge MODEL, a name or a file, and write OUTPUT."""
    source = bundled.find(model)
    arch = replace(source.arch, errors=int(errors or source.arch.errors), blocks=blocks or source.arch.blocks)
    if arch.blocks < source.arch.blocks:
        raise click.UsageError(f"the model has {source.arch.blocks} blocks already")
    networks = enlarged(source, arch)
    output.write_bytes(dump_model(output.stem, networks, source.unconditional, {"grown from": source.sha256.hex()}))


def enlarged(source: Model, arch: Architecture) -> Networks:
    """Exact networks of `arch` that compute what those of `source` do."""
    known = dict(source.networks.products())
    networks = Networks(arch)
    networks.choose_scales()
    networks.freeze()
    for name, product in networks.products():
        old = known.get(name)
        if old is not None:
            weight = with_zeros(old.weight, plane_count(source.arch), product)
            product.load_integers(weight, old.bias, old.log2_scale, name)
        elif not name.endswith("horizontal"):
            product.load_integers(0 * product.weight, 0 * product.bias, product.log2_scale, name)
    return networks


def with_zeros(weight: Tensor, planes: int, product: Product) -> Tensor:
    """The weight for a `product` whose first source has more than `planes` channels in each tap of its window."""
    taps, out = product.inputs[0].window.taps, weight.shape[1]
    added = product.inputs[0].channels - planes
    if len(weight) == product.weight.shape[0]:
        return weight
    first = weight[: taps * planes].reshape(taps, planes, out)
    padded = torch.cat([first, first.new_zeros(taps, added, out)], 1).flatten(0, 1)
    return torch.cat([padded, weight[taps * planes :]])


if __name__ == "__main__":
    main()
