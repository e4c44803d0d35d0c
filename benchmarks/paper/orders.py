"""Beyond the paper: savings from order in real files, and from better tours."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from acncodec.analysis.costs import kl_along
from acncodec.archive import header as head
from acncodec.block.plan import Way
from acncodec.coding.protocol import encode
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour
from acncodec.progress import unwatched
from benchmarks.data import write_pngs


def file_bits(model: Model, images: np.ndarray) -> dict[str, Any]:
    """Bits an image of real files of 1-bit images uint8 [N, H, W], and the multiset bound: the unordered less log2 N!."""
    count = len(images)
    found: dict[str, Any] = {"images": count}
    with tempfile.TemporaryDirectory() as folder:
        root, target = Path(folder, "images"), Path(folder, "archive")
        write_pngs(images, None, root, bilevel=True)
        for name, way in (("along a tour", Way.TOUR), ("unordered", Way.UNORDERED)):
            options = Options(names=head.NAMES_DROP, way=way, overwrite=True)
            found[name] = 8 * compress(root, target, [model], options, unwatched).size / count
    order = math.lgamma(count + 1) / math.log(2) / count
    found["order is worth"] = order
    found["multiset bound"] = found["unordered"] - order
    found["saved by the tour"] = found["unordered"] - found["along a tour"]
    return found


def tours(model: Model, images: np.ndarray) -> list[dict[str, Any]]:
    """KL along tours of rising effort, nats an image."""
    codes = encode(model, images)
    rows = []
    for effort in (1, 2, DEFAULT_EFFORT, 7, 8):
        tour = plan_tour(codes, Schedule(len(codes), 1), effort)
        rows.append({"effort": "1, greedy" if effort == 1 else str(effort), "KL": kl_along(model, codes, tour)})
    return rows
