"""Copy candidates for training, from images in tours as in archives; the tours are redrawn every epoch."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acncodec.coding.candidates import along
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import plan_tour

SIDE = 4  # of the thumbnails whose tours are planned: candidates depend on no codes, which change in training
TONES = 4  # levels of an image for one of a thumbnail
MOST_BLOCKS = 4  # that a group is cut into at random, so that histories differ in length


def draw_offers(group: Tensor, generator: torch.Generator) -> Tensor:
    """Offers uint8 [N, H, W, OFFERS, colours + 1] for images uint8 [N, H, W, colours], in random blocks."""
    blocks = int(torch.randint(1, MOST_BLOCKS + 1, (1,), generator=generator))
    order = torch.randperm(len(group), generator=generator)
    parts = [_of_block(group[part].numpy()) for part in order.chunk(blocks)]
    return torch.from_numpy(np.concatenate(parts))[torch.argsort(order)]


def _of_block(images: np.ndarray) -> np.ndarray:
    count, height, width, colours = images.shape
    schedule = Schedule(count, choose_lanes(count, height * width, colours, True))
    small = F.adaptive_avg_pool2d(torch.from_numpy(images).permute(0, 3, 1, 2).float(), SIDE)
    tour = plan_tour(torch.round(small.flatten(1) / TONES).to(torch.int16).numpy(), schedule)
    return along(images[tour], schedule)[np.argsort(tour)]
