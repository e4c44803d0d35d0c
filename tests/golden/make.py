"""Generates the golden archives, their models and expected contents.

To be run only when the format changes on purpose, before a release. From the repository's root:

    PYTHONPATH=tests python tests/golden/make.py [NAME]...
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    KINDS,
    costs_nothing,
    drawings,
    make_pngs,
    no_progress,
    ramps,
    random_pixels,
    save_colours,
    save_image,
    smooth_pixels,
    snapshot,
    tiny_model,
    tiny_model_bytes,
)
from PIL import Image

from acncodec.archive import header as head
from acncodec.block import codec
from acncodec.block.plan import Way
from acncodec.nets.model import Model, parse_model
from acncodec.packing import model_choice
from acncodec.packing.compress import Options, compress
from acncodec.planning import schedule

HERE = Path(__file__).parent


def greys(root: Path) -> None:
    """Bilevel and grey pictures, enough for two lanes, and a file."""
    make_pngs(root, 34, 4, 3, "1")
    make_pngs(root, 5, 3, 4, "L")
    save_image(root / "grey.pgm", random_pixels(1, 1, 5, 7, 256)[0], "L")
    (root / "stored.txt").write_bytes(b"a file that no network models\n")


def colours(root: Path) -> None:
    """RGB and RGBA pictures, two of them in tiles, in two blocks."""
    make_pngs(root, 5, 3, 4, "RGB")
    for number, pixels in enumerate(random_pixels(2, 3, 3, 4, 256, 4)):
        save_colours(root / f"clear {number}.png", pixels)
    for number, pixels in enumerate(random_pixels(3, 2, 5, 7, 256, 3)):
        save_colours(root / f"large {number}.png", pixels)


def drawn(root: Path) -> None:
    """Drawings that repeat each other: RGB, RGBA, and palettes of the sorted colours in use."""
    for channels, size in ((3, (9, 7)), (4, (9, 7)), (4, (6, 8))):
        for number, pixels in enumerate(drawings(channels, 10, *size, channels)):
            save_colours(root / f"{channels} {size[0]} {number}.png", pixels)
    for number, pixels in enumerate(drawings(5, 10, 9, 7, 3)):
        used, indices = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
        image = Image.fromarray(indices.astype(np.uint8).reshape(9, 7), "P")
        image.putpalette(used.tobytes())
        image.save(root / f"palette {number}.png")


def mixed(root: Path) -> None:
    """Every method beside each other, as there is no model of grey; a duplicate, a folder in another, an empty one."""
    for number, pixels in enumerate(smooth_pixels(4, 6, 12, 12, 3)):
        save_colours(root / "abc"[number % 3] / f"slope {number}.png", pixels)
    for number, pixels in enumerate(ramps(5, 2, 60)):
        save_colours(root / f"grey {number}.png", pixels)
    noise = random_pixels(7, 1, 20, 20, 256, 2)[0]
    for where in ("a", "a/b"):
        (root / where).mkdir(exist_ok=True)
        (root / where / "stored.txt").write_bytes(b"twice the same\n")
        for number in range(8):
            noise[number, len(where)] ^= 1
            save_colours(root / where / f"alike {number}.png", noise)
    (root / "empty").mkdir()


def strips(root: Path) -> None:
    """Bilevel pictures that repeat each other downwards and one that is a column, raw for want of a model."""
    for width in (19, 1):
        pixels = random_pixels(width, 1, 40, width, 2)[0]
        for number in range(9):
            pixels[number] ^= 1
            save_image(root / f"{width} wide {number}.png", pixels, "1")


def few(root: Path) -> None:
    """Some bilevel pictures, to be sent with their model."""
    make_pngs(root, 6, 4, 3, "1")


def striped(root: Path) -> None:
    """Bilevel pictures of two sizes, enough for several lanes."""
    make_pngs(root, 60, 4, 3, "1")
    make_pngs(root, 21, 5, 2, "1")


DIRECTORIES: dict[str, tuple[Callable[[Path], None], Options]] = {
    "greys": (greys, Options(way=Way.TOUR)),
    "colours": (colours, Options(block=6)),
    "mixed": (mixed, Options(names=head.NAMES_FOLDERS)),
    "strips": (strips, Options()),
    "carried": (few, Options(carry=True)),
    "fine": (greys, Options(way=Way.TOUR, carry=True)),
    "copies": (drawn, Options(way=Way.TOUR, carry=True)),
    "stacks": (striped, Options(way=Way.TOUR)),
}
STACKS = 4  # of blocks of the last; in the others one


UNCODED = ("mixed", "strips")  # priced normally, without models of one colour

# Archives of these directories by earlier versions, kept for decoding only: "greedy" has the greedy tour.
EARLIER = ("greys-greedy",)


def model_files() -> list[Path]:
    return [HERE / f"tiny-{levels}x{number}.safetensors" for levels, number in KINDS]


COPIES = {"colours": 4, "centres": 5, "logistics": 13, "candidates": 6}


def models(name: str) -> list[Model]:
    """For an archive: the coarse ones as they lie here, or others, which the archive carries."""
    if name == "copies":
        return [tiny_model(256, calm=True, fine=True, **COPIES)]
    if name == "fine":
        return [tiny_model(levels, calm=True, colours=number, fine=True) for levels, number in KINDS]
    return [parse_model(path.read_bytes()) for path in model_files()]


def make(name: str, root: Path, target: Path) -> None:
    """Build a directory by name and compress it. But for UNCODED, all that networks can code is coded."""
    build, options = DIRECTORIES[name]
    root.mkdir()
    build(root)
    with pytest.MonkeyPatch.context() as patch:
        if name not in UNCODED:
            patch.setattr(model_choice, "plane_bits", costs_nothing)
        patch.setattr(model_choice, "MAX_WHOLE", 24 if name == "colours" else model_choice.MAX_WHOLE)
        patch.setattr(model_choice, "TILE", 4)
        patch.setattr(codec, "stack_count", lambda bits, lanes: STACKS if name == "stacks" else 1)
        patch.setattr(
            schedule, "MIN_STEPS_OF_MANY", 4 if name == "stacks" else schedule.MIN_STEPS
        )  # lanes for few pictures
        compress(root, target, models(name)[2 * (name in UNCODED) :], options, no_progress)


def described(root: Path) -> dict[str, list[str | int]]:
    """Name -> mode, format, width, height and sha256 of the pixels of a PNG, or size and sha256 of another file."""
    found: dict[str, list[str | int]] = {}
    for name, content in snapshot(root).items():
        if isinstance(content, tuple):
            mode, form, size, pixels, *_ = content
            found[name.decode()] = [mode, form, *size, hashlib.sha256(pixels).hexdigest()]
        elif isinstance(content, bytes):
            found[name.decode()] = [len(content), hashlib.sha256(content).hexdigest()]
    return found


def main() -> None:
    for (levels, number), path in zip(KINDS, model_files(), strict=True):
        path.write_bytes(tiny_model_bytes(levels, calm=True, colours=number))
    for name in sys.argv[1:] or DIRECTORIES:
        with tempfile.TemporaryDirectory() as folder:
            target = HERE / f"v2-{name}.acn"
            target.unlink(missing_ok=True)
            make(name, Path(folder) / "in", target)
            lines = [f"{json.dumps(file)}: {json.dumps(what)}" for file, what in described(Path(folder) / "in").items()]
            target.with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
