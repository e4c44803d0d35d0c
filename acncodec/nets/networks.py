"""All networks of a model in one module: encoder, prior network, latent map and decoder."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from acncodec.nets.architecture import Architecture
from acncodec.nets.candidates import evidence, join_centres, no_offers
from acncodec.nets.conditioning import LatentMap
from acncodec.nets.encoder import Encoder
from acncodec.nets.heads import Distribution
from acncodec.nets.pixelcnn import GatedPixelCNN
from acncodec.nets.planes import predict, to_planes
from acncodec.nets.prior import Mixture, PriorNetwork
from acncodec.nets.product import Product, check_scales


class Networks(nn.Module):
    """All products of a model. While `exact` is false the weights are real and trainable; `freeze` rounds them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.exact = False
        self.encoder = Encoder(arch)
        self.prior = PriorNetwork(arch)
        self.map = LatentMap(arch)
        self.decoder = GatedPixelCNN(arch)

    def products(self) -> Iterator[tuple[str, Product]]:
        """Every linear map with its name, in a fixed order."""
        for name, module in self.named_modules():
            if isinstance(module, Product):
                yield name, module

    def choose_scales(self) -> None:
        """On the weights' device; whether they were finite `check_scales` tells."""
        for _, product in self.products():
            product.choose_scale()

    def check_scales(self) -> None:
        """Raises BoundError if weights were not finite when scales were last chosen."""
        check_scales(torch.cat([product.scale for _, product in self.products()]))

    def limit_weights(self) -> None:
        for _, product in self.products():
            product.limit_weights()

    def freeze(self) -> "Networks":
        """Round every weight; from here on all passes are exact. Raises BoundError."""
        for name, product in self.products():
            product.freeze(name)
        self.exact = True
        return self

    @property
    def device(self) -> torch.device:
        return self.prior.logits.weight.device

    def tensor(self, values: np.ndarray) -> Tensor:
        """Integers as float32, which the networks take, on their device."""
        return torch.from_numpy(values).to(self.device, torch.float32)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [N, H, W, colours] -> codes [N, code], integers on the latent grid."""
        return self.encoder(to_planes(pixels, self.arch))

    @torch.no_grad()
    def distributions(self, pixels: Tensor, z: Tensor, offers: Tensor | None = None) -> list[Distribution]:
        """Pixels uint8 [N, H, W, colours], latents [N, code] -> a distribution [N, H, W, ...] for each colour.

        The whole-image pass. Models with copy candidates take offers, uint8 [N, H, W, OFFERS, colours + 1]; by default
        there are none.
        """
        return self.decode(pixels, self.latent_map(z, *pixels.shape[1:3]), offers)

    def decode(self, pixels: Tensor, latent_map: Tensor, offers: Tensor | None = None) -> list[Distribution]:
        """As `distributions`, given the latent map; trainable."""
        values = pixels.float()
        centres, told = predict(values, self.arch.centres), None
        if self.arch.candidates:
            offers = no_offers(self.arch, *pixels.shape[:3], device=pixels.device) if offers is None else offers
            told = evidence(offers, centres)
            centres = join_centres(centres, offers)
        return self.decoder(to_planes(pixels, self.arch, centres), values, centres, told, latent_map, self.exact)

    @torch.no_grad()
    def latent_map(self, z: Tensor, height: int, width: int) -> Tensor:
        """Latents [N, code] -> the planes [N, height, width, map_planes] that condition the decoder."""
        return self.map(z, height, width, self.exact)

    @torch.no_grad()
    def mixture(self, codes: Tensor) -> Mixture:
        """Parents' codes [N, code] -> mixtures [N, code, components] for their children's latents."""
        return self.prior(codes, self.exact)
