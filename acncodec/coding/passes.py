"""The interface of incremental decoders, and the frequencies of known pixels by every kind of pass, for comparisons."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from acncodec.coding.frequencies import table
from acncodec.exact.grids import BASE
from acncodec.nets.networks import Networks


class Steps(Protocol):
    """The decoder of n lanes, called in raster order: `start_row` for each row, `start_pixel` for each column, and for each
    colour `first`, with 256 levels `second`, and `put`.

    Calls may be asynchronous: the arrays that `first` and `second` return are valid after `wait`, until the next call.
    """

    def start_row(self, row: int) -> None: ...

    def start_pixel(self, column: int) -> None: ...

    def first(self, colour: int) -> np.ndarray:
        """Frequencies of the leading digit of a colour: float64 [n, base]."""

    def second(self, first: np.ndarray) -> np.ndarray:
        """Frequencies of the same colour's second digit, given the first, int32 [n]: float64 [n, base]."""

    def put(self, colour: int, values: np.ndarray) -> None:
        """Set the colour's values, uint8 [n]."""

    def wait(self) -> None:
        """Block until all calls are done."""


# A pass gives the frequencies of every digit of pixels uint8 [N, H, W, colours] given latents, integers [N, D]: for each
# colour and digit an array [N, H, W, base].

Pass = Callable[[Networks, np.ndarray, np.ndarray], list[np.ndarray]]
Passes = tuple[Pass, Pass, Pass]  # whole-image, incremental, and the encoder's codes [N, D]


def whole_image(networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Frequencies by the whole-image pass on tensors."""
    on_device = torch.from_numpy(pixels).to(networks.device)
    found = []
    for colour, distribution in enumerate(networks.distributions(on_device, networks.tensor(z))):
        frequencies = table(distribution)
        found.append(frequencies.first())
        if networks.arch.levels > 2:
            found.append(frequencies.second(on_device[..., colour] // BASE))
    return [part.cpu().numpy() for part in found]


def by_steps(steps: Steps, pixels: np.ndarray, levels: int) -> list[np.ndarray]:
    """Frequencies of pixels uint8 [N, H, W, colours] by an incremental decoder of as many images, called as Bob does."""
    _, height, width, colours = pixels.shape
    found: list[list[np.ndarray]] = []

    def note(frequencies: np.ndarray) -> None:
        steps.wait()
        found[-1].append(frequencies.copy())

    for row in range(height):
        steps.start_row(row)
        for column in range(width):
            steps.start_pixel(column)
            found.append([])
            for colour in range(colours):
                values = pixels[:, row, column, colour]
                note(steps.first(colour))
                if levels > 2:
                    note(steps.second((values // BASE).astype(np.int32)))
                steps.put(colour, values)
    return [np.stack(digit, 1).reshape(len(pixels), height, width, -1) for digit in zip(*found, strict=True)]
