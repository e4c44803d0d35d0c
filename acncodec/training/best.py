"""The best weights so far by held-out code length, and early stopping."""

import copy
import math

import torch
from torch import Tensor

from acncodec.nets.networks import Networks

PATIENCE = 4  # evaluations without a gain after which training should end
LEAST_GAIN = 5e-4  # share of the code length that counts as a gain


class Best:
    """Keeps a copy of the networks at their best; `state` and `load_state` belong to a checkpoint."""

    def __init__(self, networks: Networks) -> None:
        """`networks` are trainable and of the same architecture as those offered later."""
        self.networks = copy.deepcopy(networks)
        self.nats = math.inf  # per image
        self._waiting = 0

    def offer(self, networks: Networks, nats: float) -> bool:
        """Compare networks that cost `nats` an image with the best; returns whether to continue training."""
        self._waiting = 0 if nats < self.nats * (1 - LEAST_GAIN) else self._waiting + 1
        if nats < self.nats:
            self.nats = nats
            self.networks = copy.deepcopy(networks)
        return self._waiting < PATIENCE

    def state(self) -> dict[str, Tensor]:
        tensors = {f"best.{key}": value.data for key, value in self.networks.named_parameters()}
        tensors["best"] = torch.tensor([self.nats, self._waiting], dtype=torch.float64)
        return {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError if a tensor is missing."""
        for key, parameter in self.networks.named_parameters():
            parameter.copy_(tensors[f"best.{key}"])
        self.nats, waiting = tensors["best"].tolist()
        self._waiting = int(waiting)
