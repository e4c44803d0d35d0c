"""A model: the exact networks, the unconditional prior, and how both are stored (safetensors, integers only)."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from acncodec.errors import ModelError
from acncodec.exact.grids import (
    FREQUENCY_BITS,
    LATENT_BITS,
    LATENT_MAX,
    WIDTH_BITS,
    WIDTH_MAX,
    WIDTH_MIN,
    WIDTHS,
)
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.nets.product import WEIGHT_MAX, Product, shapes_only

COARSE, FINE = 1, 2  # formats: 8-bit weights with one scale per linear map, and 12-bit ones with one per output
_WEIGHT_TYPE = {COARSE: torch.int8, FINE: torch.int16}
_WEIGHT_MAX = {COARSE: 127, FINE: WEIGHT_MAX}
LOG2_SCALE_MAX = 64
MAX_MODEL_BYTES = 1 << 28
MAX_COMPONENTS = 4096
METADATA_KEY = "acncodec"  # the only metadata key: safetensors writes several in no fixed order


@dataclass(frozen=True)
class UnconditionalPrior:
    """p(z): a mixture of K >= 2 diagonal Gaussians, for elements without a parent (ACN, section 3.1). All integers.

    `weights` int32 [K], frequencies of the components; `means` int16 [K, code], latent grid; `widths` uint8 [K, code],
    rows of the Gaussian table.
    """

    weights: Tensor
    means: Tensor
    widths: Tensor

    def check(self, code: int) -> None:
        """Raises ModelError unless shapes and ranges are right."""
        k = self.weights.shape[0] if self.weights.ndim == 1 else 0
        fits = (
            2 <= k <= MAX_COMPONENTS
            and self.means.shape == self.widths.shape == (k, code)
            and self.weights.dtype == torch.int32
            and self.means.dtype == torch.int16
            and self.widths.dtype == torch.uint8
        )
        if not fits or not (
            1 <= int(self.weights.min()) <= int(self.weights.max()) <= 1 << FREQUENCY_BITS
            and int(self.means.int().abs().max()) <= LATENT_MAX
            and int(self.widths.max()) < WIDTHS
        ):
            raise ModelError("the model's unconditional prior is out of range")


@dataclass(frozen=True, eq=False)
class Model:
    """A model, identified in archives by `sha256`: exact networks, unconditional prior, and a record of how it was made.

    `plain` is the unpacked model file, `sha256` its hash and `format` its format; `size` is the number of bytes of the file
    that the model was read from, which may be packed.
    """

    name: str
    sha256: bytes
    size: int
    networks: Networks
    unconditional: UnconditionalPrior
    record: dict[str, object]
    plain: bytes = b""
    format: int = FINE

    @property
    def arch(self) -> Architecture:
        return self.networks.arch

    @property
    def weight_max(self) -> int:
        """The largest magnitude of a weight that the model's format can hold."""
        return _WEIGHT_MAX[self.format]


def dump_model(
    name: str, networks: Networks, unconditional: UnconditionalPrior, record: dict[str, object], version: int | None = None
) -> bytes:
    """The bytes of a model file of the format `version`, by default the oldest that can hold the model.

    `networks` must be exact. The same model gives the same bytes. Raises ValueError if that format cannot hold it.
    """
    oldest = COARSE if all(_is_coarse(product) for _, product in networks.products()) else FINE
    version = version or oldest
    if version < oldest:
        raise ValueError("the model's weights are too fine for this format of model files")
    tensors: dict[str, Tensor] = {}
    scales: dict[str, int | list[int]] = {}
    for key, product in networks.products():
        tensors[f"{key}.weight"] = product.weight.detach().to("cpu", _WEIGHT_TYPE[version])
        tensors[f"{key}.bias"] = product.bias.detach().to("cpu", torch.int32)
        scales[key] = product.log2_scale.tolist() if version == FINE else int(product.log2_scale[0])
    tensors["unconditional.weights"] = unconditional.weights
    tensors["unconditional.means"] = unconditional.means
    tensors["unconditional.widths"] = unconditional.widths
    about = {
        "format": version,
        "name": name,
        "architecture": networks.arch.to_dict(),
        "log2_scales": scales,
        "record": record,
    }
    return save_tensors(tensors, {METADATA_KEY: json.dumps(about, sort_keys=True)})


def _is_coarse(product: Product) -> bool:
    scales = product.log2_scale
    return bool(product.weight.abs().max() <= _WEIGHT_MAX[COARSE]) and bool((scales == scales[0]).all())


def description(data: bytes) -> str:
    """The JSON description in a plain model file's metadata. Raises KeyError or ValueError if there is none."""
    found = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][METADATA_KEY]
    if not isinstance(found, str):
        raise ValueError("the description is not text")
    return found


def parse_model(data: bytes) -> Model:
    """Read a model file's bytes. Raises ModelError if it is malformed, BoundError if it could be inexact."""
    try:
        tensors = load_tensors(data)
        about = json.loads(description(data))
        version, name, scales = about["format"], about["name"], about["log2_scales"]
        architecture, record = Architecture.from_dict(about["architecture"]), about["record"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"this is not an acncodec model: {error}") from error
    if type(version) is not int or version not in _WEIGHT_TYPE:
        raise ModelError(f"the model has format {version}, this program knows formats up to {FINE}; update acncodec")
    if not isinstance(scales, dict) or not isinstance(record, dict) or not isinstance(name, str):
        raise ModelError("this is not an acncodec model: its description has fields of a wrong type")
    with shapes_only():  # a file's tensors are checked before the networks are allocated
        shapes = Networks(architecture)
    for key, product in shapes.products():
        _check_map(key, product, tensors.get(f"{key}.weight"), tensors.get(f"{key}.bias"), scales.get(key), version)
    networks = Networks(architecture)
    for key, product in networks.products():
        product.load_integers(tensors.pop(f"{key}.weight"), tensors.pop(f"{key}.bias"), torch.tensor(scales[key]), key)
    networks.exact = True
    networks.requires_grad_(False)
    try:
        unconditional = UnconditionalPrior(*(tensors.pop(f"unconditional.{k}") for k in ("weights", "means", "widths")))
    except KeyError as error:
        raise ModelError("the model lacks its unconditional prior") from error
    unconditional.check(networks.arch.code)
    if tensors:
        raise ModelError(f"the model has an unknown tensor '{min(tensors)}'")
    return Model(name, hashlib.sha256(data).digest(), len(data), networks, unconditional, record, data, version)


def _check_map(
    key: str, product: Product, weight: Tensor | None, bias: Tensor | None, scales: object, version: int
) -> None:
    """Raise ModelError unless a file's tensors and scales fit the linear map `product`."""
    listed = scales if version == FINE else [scales] * product.shape[1]
    if weight is None or bias is None or not isinstance(listed, list) or len(listed) != product.shape[1]:
        raise ModelError(f"the model lacks the linear map '{key}'")
    if any(type(scale) is not int or abs(scale) > LOG2_SCALE_MAX for scale in listed):
        raise ModelError(f"the linear map '{key}' has a scale that is out of range")
    if weight.shape != product.shape or bias.shape != product.shape[1:]:
        raise ModelError(f"the shape of the linear map '{key}' does not fit the model's architecture")
    if weight.dtype != _WEIGHT_TYPE[version] or bias.dtype != torch.int32:
        raise ModelError(f"the linear map '{key}' is not made of integers")
    if int(weight.short().abs().max()) > WEIGHT_MAX:
        raise ModelError(f"the linear map '{key}' has weights above {WEIGHT_MAX} in magnitude")


def quantise_prior(weights: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> UnconditionalPrior:
    """Quantise a mixture: float64 weights [K], means and deviations [K, code] in units of the posterior's deviation."""
    frequencies = np.maximum(1, np.round(weights / weights.max() * (1 << FREQUENCY_BITS))).astype(np.int32)
    grid_means = np.clip(np.round(means * (1 << LATENT_BITS)), -LATENT_MAX, LATENT_MAX).astype(np.int16)
    octaves = np.round(np.log2(deviations) * (1 << WIDTH_BITS))
    rows = (np.clip(octaves, WIDTH_MIN, WIDTH_MAX) - WIDTH_MIN).astype(np.uint8)
    return UnconditionalPrior(torch.from_numpy(frequencies), torch.from_numpy(grid_means), torch.from_numpy(rows))
