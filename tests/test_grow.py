"""Enlarged models compute what the models they come from do."""

from dataclasses import replace

import pytest
import torch
from conftest import random_pixels, tiny_model

from acncodec.nets.networks import Networks
from acncodec.training.trainer import take_weights
from benchmarks.grow import enlarged


@pytest.mark.parametrize("changes", [{"errors": 1}, {"blocks": 4}, {"errors": 1, "blocks": 3}])
@pytest.mark.parametrize("fine", [False, True])
def test_outputs_are_unchanged(changes: dict[str, int], fine: bool) -> None:
    source = tiny_model(256, fine=fine)
    arch = replace(source.arch, **changes)
    networks = enlarged(source, arch)
    pixels = torch.from_numpy(random_pixels(0, 3, 8, 9, 256))
    z = torch.from_numpy(random_pixels(1, 1, 3, source.arch.code, 100)[0, ..., 0]).float()
    assert torch.equal(networks.encode(pixels), source.networks.encode(pixels))
    for got, want in zip(networks.distributions(pixels, z), source.networks.distributions(pixels, z), strict=True):
        assert torch.equal(got.logits, want.logits)


def test_new_weights_can_be_trained() -> None:
    """A gradient reaches every new weight, or will once the zeros behind it have moved."""
    source = tiny_model(256, calm=True)
    arch = replace(source.arch, errors=1, blocks=3)
    networks = Networks(arch)
    take_weights(networks, enlarged(source, arch))
    networks.choose_scales()
    pixels = torch.from_numpy(random_pixels(0, 4, 8, 9, 256))
    z = torch.zeros(4, arch.code)
    logits = networks.decode(pixels, networks.map(z, 8, 9, False))[0].logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 2), pixels.flatten().long()).backward()
    last = networks.decoder.blocks[-1]
    assert last.residual.weight.grad.abs().max() > 0
    first = networks.decoder.blocks[0].vertical
    planes = first.weight.grad[: first.inputs[0].rows].reshape(first.inputs[0].window.taps, 5, -1)
    assert planes[:, 4].abs().max() > 0
