"""Evaluation of a model on a directory of images: theoretical costs, and the size of a real archive."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from acncodec.analysis.costs import Costs, costs
from acncodec.archive import header as head
from acncodec.errors import InputError
from acncodec.images.source import Folder, MemoryImages
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.planning.tour import DEFAULT_EFFORT
from acncodec.progress import Progress
from acncodec.training.pictures import ARCHITECTURES, read_pictures


@dataclass(frozen=True)
class Evaluation:
    """Theoretical `costs`, and the total bits of an archive of the same images without names."""

    costs: Costs
    archive_bits: int


def images_for(model: Model, root: Path) -> np.ndarray:
    """The images below `root` that a model is for, of the most frequent size: uint8 [N, H, W, colours], by name.

    Raises InputError if there are fewer than two.
    """
    wanted = model.arch.levels, model.arch.colours
    layout = next(each for each, sizes in ARCHITECTURES.items() if (sizes["levels"], sizes.get("colours", 1)) == wanted)
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for samples in read_pictures(Folder(root))[layout]:
        groups.setdefault(samples.shape, []).append(samples)
    largest = max(groups.values(), key=len, default=[])
    if len(largest) < 2:
        raise InputError(f"'{root}' does not hold two images of one size that the model '{model.name}' is for")
    return np.stack(largest)


def evaluate(model: Model, images: np.ndarray, progress: Progress, effort: int = DEFAULT_EFFORT) -> Evaluation:
    """Costs and archive of images uint8 [N, H, W, colours], N at least 2. Raises ExactnessError."""
    with tempfile.TemporaryDirectory() as folder:
        source = MemoryImages(as_picture(image, model.arch.levels) for image in images)
        size = compress(
            source, Path(folder, "archive"), [model], Options(names=head.NAMES_DROP, effort=effort), progress
        ).size
    return Evaluation(costs(model, images, effort), 8 * size)


def as_picture(image: np.ndarray, levels: int) -> Image.Image:
    """An image uint8 [H, W, 1, 3 or 4] as a Pillow image, 1-bit for 2 levels."""
    flat = image[..., 0] if image.shape[-1] == 1 else image
    return Image.fromarray(flat.astype(bool) if levels == 2 else flat)
