"""The best weights so far by held-out code length, and when to stop looking for better ones."""

import copy
import math

import torch
from torch import Tensor

from acncodec.nets.networks import Networks

PATIENCE = 4  # looks without a gain, after which the end of training begins
LEAST_GAIN = 5e-4  # share of the code length that counts as one


class Best:
    """Keeps a copy of the networks at their best; `state` and `load_state` belong to a checkpoint."""

    def __init__(self, networks: Networks) -> None:
        """`networks` are trainable and of the architecture that will be offered."""
        self.networks = copy.deepcopy(networks)
        self.nats = math.inf  # an image
        self._waiting = 0

    def offer(self, networks: Networks, nats: float) -> bool:
        """Look at networks that take so many nats an image; whether it is worth going on."""
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
        """KeyError if one lacks."""
        for key, parameter in self.networks.named_parameters():
            parameter.copy_(tensors[f"best.{key}"])
        self.nats, waiting = tensors["best"].tolist()
        self._waiting = int(waiting)
