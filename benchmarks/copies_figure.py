"""Which pixels of a tile are copied, and from which tiles: the picture of docs/how-it-works.md.

    python -m benchmarks.copies_figure FOLDER docs/drawings/copies.png

FOLDER holds PNG files of one size. All but the last, by name, are taken as coded before it.
"""

from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from acncodec.coding.candidates import History
from benchmarks.drawing_set import rgba

SCALE = 8  # side of a pixel in the picture
SOURCES = 4  # tiles that are shown
FRAMES = ((214, 69, 65), (38, 110, 180), (46, 139, 87), (200, 140, 20))
NEW, ELSEWHERE, SELF = (255, 255, 255), (150, 150, 150), (40, 40, 40)
GAP, TITLE = 24, 22


def sources(images: np.ndarray) -> np.ndarray:
    """For each pixel of the last image uint8 [N, H, W, 4] that of its first candidate, if that is right: int64 [H, W].

    The number of an image, N - 1 for the image itself, and -1 where the candidate is wrong or there is none.
    """
    count, height, width, colours = images.shape
    history = History([(count, height, width)], colours, compiled=False)
    starts = []
    for number in range(count):
        step = history.begin(1, height, width, None)
        starts.append(int(step.places[0]))
        if number < count - 1:
            step.complete(images[number : number + 1])
    found = np.full((height, width), -1)
    for row, column in np.ndindex(height, width):
        pixel = images[-1:, row, column]
        right = (step.find(row, column)[0, 0, :-1] == pixel[0]).all()
        best = int(step.first_candidates[0])
        if right and best:
            found[row, column] = np.searchsorted(starts, best, "right") - 1
        step.learn(pixel)
    return found


def magnified(image: np.ndarray) -> Image.Image:
    """uint8 [H, W, 4] on white, SCALE times as large."""
    under = Image.new("RGBA", (image.shape[1], image.shape[0]), (255, 255, 255, 255))
    under.alpha_composite(Image.fromarray(image))
    return under.convert("RGB").resize((image.shape[1] * SCALE, image.shape[0] * SCALE), Image.Resampling.NEAREST)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
def main(folder: Path, output: Path) -> None:
    """Draw the picture."""
    found = [image for image in map(rgba, sorted(folder.glob("*.png"))) if image is not None]
    images = np.stack([image for image in found if image.shape == found[-1].shape])
    where = sources(images)
    numbers, counts = np.unique(where[(where >= 0) & (where < len(images) - 1)], return_counts=True)
    shown = numbers[np.argsort(-counts)][:SOURCES].tolist()
    colours = np.full((*where.shape, 4), 255, np.uint8)
    colours[..., :3] = NEW
    colours[where >= 0, :3] = ELSEWHERE
    colours[where == len(images) - 1, :3] = SELF
    for number, frame in zip(shown, FRAMES, strict=False):
        colours[where == number, :3] = frame
    side = where.shape[1] * SCALE, where.shape[0] * SCALE
    titles = [("the tile", images[-1], None), ("where its pixels come from", colours, None)]
    titles += [(f"a tile before, {(where == n).sum()} pixels", images[n], f) for n, f in zip(shown, FRAMES, strict=False)]
    columns = 3
    rows = -(-len(titles) // columns)
    sheet = Image.new("RGB", (columns * (side[0] + GAP) + GAP, rows * (side[1] + TITLE + GAP) + GAP), (246, 246, 246))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, (title, image, frame) in enumerate(titles):
        x, y = GAP + index % columns * (side[0] + GAP), GAP + index // columns * (side[1] + TITLE + GAP)
        draw.text((x, y - 4), title, (0, 0, 0), font)
        sheet.paste(magnified(image), (x, y + TITLE))
        draw.rectangle((x - 4, y + TITLE - 4, x + side[0] + 3, y + TITLE + side[1] + 3), None, frame or (120, 120, 120), 4)
    sheet.quantize(64).save(output, optimize=True)
    share = {"new": (where < 0).mean(), "itself": (where == len(images) - 1).mean()}
    click.echo(f"{folder.name}: {', '.join(f'{name} {value:.0%}' for name, value in share.items())}")


if __name__ == "__main__":
    main()
