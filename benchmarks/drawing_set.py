"""The drawings that `sprites` is trained on, as RGBA PNG files.

    apt-get download tango-icon-theme gnome-icon-theme mate-icon-theme pingus-data frozen-bubble-data lincity-ng-data \
        wesnoth-1.16-data
    for package in *.deb; do dpkg-deb -x $package packages/${package%%_*}; done
    python -m benchmarks.drawing_set DIRECTORY packages
    acncodec train DIRECTORY -o runs/sprites.safetensors --from none --minutes 240

Every second tile, by name, of `dirs/dcss_tiles.tar.xz` in the folder that ACNCODEC_DATA names, as it is and mirrored; the
others are held out for measuring. Of the packages, whose terms are in their `copyright` files, every third icon, of the
games' images pieces of 32x32, and every second of the painted figures of wesnoth, whole; lines of text in the font that
comes with Pillow; and frames, which repeat almost all of each other: of animations, made of these tiles, and of lines of
text that are being typed.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from benchmarks.directory_sets import unpack

ICONS = ("tango-icon-theme", "gnome-icon-theme", "mate-icon-theme")
GAMES = ("pingus-data", "frozen-bubble-data", "lincity-ng-data")
EVERY = 3  # icons: the sets have most of them in several sizes
SIDE = 32
PIECES = 6  # of a large image, at most
LARGEST = 64  # side of images that stay whole
FIGURES = "wesnoth-1.16-data/usr/share/games/wesnoth/1.16/data/core/images/units"
FIGURE = 72  # side of almost all of them
LINES = 300
ANIMATIONS, FRAMES = 100, 40
TYPED, LETTERS = 40, 25  # lines of text that are being typed, a frame a letter
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "File",
    "Edit",
    "0123456789",
    "Save as...",
    "OK",
]


def tiles(folder: Path, training: bool) -> list[Path]:
    """The half of the tiles below a folder that is for training, or the other one, in the order of names."""
    return sorted(folder.rglob("*.png"))[0 if training else 1 :: 2]


def rgba(path: Path) -> np.ndarray | None:
    """An image uint8 [H, W, 4], or None if it cannot be read or has more than 8 bits a sample."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGBA")) if image.mode in ("RGBA", "RGB", "P", "L", "LA", "1") else None
    except (UnidentifiedImageError, OSError):
        return None


def pieces(image: np.ndarray) -> Iterator[np.ndarray]:
    """The image, or if it is large some pieces of it, evenly spread, without those of a single colour."""
    height, width, _ = image.shape
    if max(height, width) <= LARGEST:
        yield image
        return
    corners = [(y, x) for y in range(0, height - SIDE + 1, SIDE) for x in range(0, width - SIDE + 1, SIDE)]
    found = [image[y : y + SIDE, x : x + SIDE] for y, x in corners]
    found = [piece for piece in found if (piece != piece[:1, :1]).any()]
    yield from found[:: max(1, -(-len(found) // PIECES))]


def text(generator: np.random.Generator) -> np.ndarray:
    """A piece of a line of text in a random size and two random colours, uint8 [SIDE, SIDE, 4]."""
    ink, paper = ((*(int(v) for v in generator.integers(0, 256, 3)), 255) for _ in range(2))
    image = Image.new("RGBA", (SIDE, SIDE), paper if generator.random() < 0.5 else (0, 0, 0, 0))
    font = ImageFont.load_default(int(generator.integers(9, 24)))
    at = int(generator.integers(-20, 3)), int(generator.integers(-3, 8))
    ImageDraw.Draw(image).text(at, " ".join(generator.permutation(WORDS)[:6].tolist()), ink, font)
    return np.array(image)


def animation(sprites: list[np.ndarray], generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames uint8 [side, side, 4] of one to three sprites uint8 [SIDE, SIDE, 4] that move over a ground of others."""
    side = int(generator.choice([SIDE, SIDE + SIDE // 2, 2 * SIDE]))
    ground = Image.new("RGBA", (side, side), (*(int(v) for v in generator.integers(0, 256, 3)), 255))
    for y, x in np.ndindex(2, 2):
        ground.alpha_composite(Image.fromarray(sprites[generator.integers(len(sprites))]), (x * SIDE, y * SIDE))
    moving = []
    for number in generator.integers(len(sprites), size=generator.integers(1, 4)):
        size = int(generator.integers(10, 25))
        sprite = Image.fromarray(sprites[number]).resize((size, size), Image.Resampling.NEAREST)
        moving.append((sprite, generator.random(2) * (side - size), generator.normal(0, 1.5, 2), side - size))
    for time in range(FRAMES):
        frame = ground.copy()
        for sprite, place, speed, room in moving:
            y, x = (room - np.abs((place + speed * time) % (2 * room) - room)).astype(int)  # reflected at the edges
            frame.alpha_composite(sprite, (int(x), int(y)))
        yield np.array(frame)


def typed(generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames uint8 [SIDE, 2 * SIDE, 4] of a line of text in a box, a letter more in each."""
    ink, paper, line = ((*(int(v) for v in generator.integers(0, 256, 3)), 255) for _ in range(3))
    font = ImageFont.load_default(int(generator.integers(9, 15)))
    words = " ".join(generator.permutation(WORDS).tolist())
    at = int(generator.integers(2, 6)), int(generator.integers(2, 14))
    for letters in range(LETTERS):
        image = Image.new("RGBA", (2 * SIDE, SIDE), paper)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, at[1] - 2, 2 * SIDE - 1, at[1] + 14), None, line)
        draw.text(at, words[:letters], ink, font)
        yield np.array(image)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("packages", type=click.Path(path_type=Path, exists=True))
def main(directory: Path, packages: Path) -> None:
    """Write the images into a directory that does not exist yet."""
    directory.mkdir(parents=True)

    def write(images: list[np.ndarray], name: str) -> None:
        folder = directory / name
        folder.mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{number:05}.png", compress_level=1)

    with TemporaryDirectory() as unpacked:
        unpack("dcss_tiles", Path(unpacked), None)
        found = [rgba(path) for path in tiles(Path(unpacked), training=True)]
        own = [piece for image in found if image is not None for piece in pieces(image)]
    write(own, "tiles")
    write([image[:, ::-1] for image in own], "tiles-mirrored")
    for package in ICONS + GAMES:
        paths = sorted(
            path for path in (packages / package).resolve().rglob("*.png") if path.is_file() and not path.is_symlink()
        )
        found = [rgba(path) for path in paths[:: EVERY if package in ICONS else 1]]
        write([piece for image in found if image is not None for piece in pieces(image)], package)
    found = [rgba(path) for path in sorted((packages / FIGURES).rglob("*.png"))[::2]]
    write([image for image in found if image is not None and max(image.shape) == FIGURE], "figures")
    generator = np.random.default_rng(0)
    write([text(generator) for _ in range(LINES)], "text")
    sprites = [image for image in own if image.shape == (SIDE, SIDE, 4)]
    write([frame for _ in range(ANIMATIONS) for frame in animation(sprites, generator)], "animations")
    write([frame for _ in range(TYPED) for frame in typed(generator)], "typed")


if __name__ == "__main__":
    main()
