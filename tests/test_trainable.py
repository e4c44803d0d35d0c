"""Trainable networks: values equal to the exact pass, gradients for every parameter, integers within the bound."""

import copy

import numpy as np
import pytest
import torch
from conftest import KINDS, architecture
from parity import SMALL, inputs_of, joined, networks_of, reference_distributions

from acncodec.errors import BoundError
from acncodec.exact.bounds import EXACT_LIMIT, worst_sums
from acncodec.nets.networks import Networks
from acncodec.nets.planes import to_planes
from acncodec.nets.product import WEIGHT_MAX
from acncodec.nets.reference import Reference


def trainable(levels: int, colours: int) -> Networks:
    """Networks with real weights and biases, as if trained for a while."""
    torch.manual_seed(levels)
    networks = Networks(architecture(levels, colours, logistics=3, **SMALL))
    with torch.no_grad():
        for _, product in networks.products():
            product.weight.mul_(2.0)
            product.bias.add_(torch.randn_like(product.bias))
    networks.choose_scales()
    return networks


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_training_forward_equals_the_exact_pass(levels: int, colours: int) -> None:
    networks = trainable(levels, colours)
    pixels, z, codes = inputs_of(networks.arch, 5, 9, 11)
    x, zs, cs = torch.from_numpy(pixels), torch.from_numpy(z).float(), torch.from_numpy(codes).float()

    def silently() -> list[torch.Tensor]:
        parts = [networks.latent_map(zs, 9, 11), joined(networks.distributions(x, zs)), networks.encode(x)]
        return [*parts, *networks.mixture(cs)]

    with torch.backends.nnpack.flags(enabled=False):  # NNPACK's Winograd is not exact
        latent_map = networks.map(zs, 9, 11, False)
        training = [latent_map, joined(networks.decode(x, latent_map)), networks.encoder(to_planes(x, networks.arch))]
        training += networks.prior(cs, False)
        assert all(part.requires_grad for part in training)
        silent = silently()
    networks.freeze()
    frozen = silently()
    reference = Reference(networks)
    want = [reference.latent_map(z, 9, 11), reference_distributions(reference, pixels, z), reference.encode(pixels)]
    want += reference.mixture(codes)
    for real, quiet, whole, part in zip(training, silent, frozen, want, strict=True):
        assert torch.equal(real, whole)
        assert torch.equal(quiet, whole)
        assert (whole.numpy().astype(np.int64) == part).all()
        assert len(np.unique(part)) > 4


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_every_parameter_learns(levels: int, colours: int) -> None:
    networks = trainable(levels, colours)
    pixels, z, codes = inputs_of(networks.arch, 5, 9, 11)
    x, zs, cs = torch.from_numpy(pixels), torch.from_numpy(z).float(), torch.from_numpy(codes).float()
    outputs = [joined(networks.decode(x, networks.map(zs, 9, 11, False))), networks.encoder(to_planes(x, networks.arch))]
    outputs += networks.prior(cs, False)
    torch.stack([(o * torch.randn_like(o)).sum() for o in outputs]).sum().backward()
    for name, parameter in networks.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("levels", "colours"), KINDS)
@pytest.mark.parametrize("gain", [1e-3, 1.0, 300.0])
def test_freeze_stays_within_the_bound(gain: float, levels: int, colours: int) -> None:
    networks = trainable(levels, colours)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.mul_(gain)
    for _, product in networks.freeze().products():
        worst = worst_sums(product.weight, product.bias, product.row_bounds).max()
        assert worst < EXACT_LIMIT
        assert product.weight.abs().max() <= WEIGHT_MAX
        assert product.shift is not None


def test_integers_beyond_the_bound_are_refused() -> None:
    product = dict(copy.deepcopy(networks_of(2, 1, True)).products())["decoder.blocks.1.vertical"]
    weight, bias = product.weight.clone(), product.bias.clone()
    product.load_integers(weight, bias, 0, "map")
    bias[0] += bias[0].sign()
    with pytest.raises(BoundError, match="'map'"):
        product.load_integers(weight, bias, 0, "map")
    bias[0] -= bias[0].sign()
    weight[3, 1] += weight[3, 1].sign() or 1
    with pytest.raises(BoundError, match="'map'"):
        product.load_integers(weight, bias, 0, "map")
    with pytest.raises(BoundError, match="not integers"):
        product.load_integers(weight * 0.5 + 0.25, bias, 0, "map")
